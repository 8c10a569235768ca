import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../tidy/repository.ts'

/** The trained model that the end-to-end tests run: 8 blocks, a context of 1024 tokens. */
export const tinyModel = join(root, 'test', 'models', 'skein-tiny')
export const tinyBlocks = 8

let made: string | undefined

/** The folder of everything that this run of the tests writes. It goes away with this process, however that ends but by SIGKILL. */
export function workFolder(): string {
  if (made === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'skein-e2e-'))
    made = folder
    process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  }
  return made
}

/** A new folder in {@link workFolder}. */
export function newFolder(name: string): string {
  return mkdtempSync(join(workFolder(), `${name}-`))
}

/** One cache of converted weights for all processes, so that each span is converted once. */
export function sharedCache(): string {
  const folder = join(workFolder(), 'weights')
  mkdirSync(folder, { recursive: true })
  return folder
}
