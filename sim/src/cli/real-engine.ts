import { simulate } from '../world/simulate.ts'
import type { SimEngine } from './engine.ts'

/** The simulator behind the commands. */
export const realEngine: SimEngine = {
  simulate: async ({ scenario, seed, tracedGeneration, signal, onProgress }) => {
    return simulate({ scenario, seed, tracedGeneration, signal, onProgress }).run()
  },
  studies: {}
}
