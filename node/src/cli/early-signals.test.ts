import assert from 'node:assert/strict'
import { catchSignals } from './early-signals.ts'

// A signal that neither mocha nor another test listens to.
const signal = 'SIGWINCH'
const send = (): boolean => process.emit(signal, signal)

describe('catchSignals', () => {
  it('keeps a signal for the first listener, and hands on what comes later', () => {
    const listen = catchSignals([signal])
    assert.equal(send(), true)
    const heard: string[] = []
    const stop = listen((name) => heard.push(name))
    assert.deepEqual(heard, [signal])
    send()
    assert.equal(heard.length, 2)
    stop()
    assert.equal(send(), false, 'nothing listens any more')
    const stopAgain = listen((name) => heard.push(name))
    assert.equal(heard.length, 2, 'a signal is told once')
    stopAgain()
  })
})
