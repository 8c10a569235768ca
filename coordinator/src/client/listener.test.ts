import assert from 'node:assert/strict'
import { silentLogger } from '@skein/protocol'
import { tell } from './listener.ts'

describe("a caller's listener", () => {
  it('may throw, or be async and reject: it is logged, and nothing comes of it', async () => {
    const warned: string[] = []
    const logger = { ...silentLogger, warn: (message: string) => void warned.push(message) }
    const unhandled: unknown[] = []
    const note = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', note)
    try {
      const heard: number[] = []
      tell((value) => heard.push(value), 1, logger, 'a test')
      tell(undefined, 2, logger, 'a test')
      tell(() => assert.fail('at once'), 3, logger, 'a test')
      tell(() => Promise.reject(new Error('later')), 4, logger, 'a test')
      await new Promise((resolve) => setImmediate(resolve))
      assert.deepEqual(heard, [1])
      assert.deepEqual(warned, ['a listener of a test threw', 'a listener of a test threw'])
      assert.deepEqual(unhandled, [])
    } finally {
      process.off('unhandledRejection', note)
    }
  })
})
