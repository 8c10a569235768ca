import assert from 'node:assert/strict'
import { cpuClass, kernelClass } from './kernel-class.ts'

const l2Bytes = 1024 * 1024

describe('the class of kernels', () => {
  it('is the strongest that all needed flags allow, and the level-2 cache', () => {
    const avx512 = ['avx', 'avx2', 'fma', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl']
    const of = (arch: string, flags: string[]): string => cpuClass({ arch, flags: new Set(flags), model: 'any', l2Bytes, sveBytes: 0 })
    assert.equal(of('x64', [...avx512, 'avx512_vnni']), 'x64-avx512-vnni-l2.1024k')
    assert.equal(of('x64', avx512), 'x64-avx512-l2.1024k')
    assert.equal(of('x64', ['avx', 'avx2', 'fma', 'avx512f']), 'x64-avx2-l2.1024k')
    assert.equal(of('x64', ['sse2']), 'x64-l2.1024k')
  })

  it('is told apart on arm64 by its flags, where the system tells neither a model nor the level-2 cache', () => {
    const of = (flags: string[], sveBytes = 0): string =>
      cpuClass({ arch: 'arm64', flags: new Set(flags), model: 'unknown', l2Bytes: undefined, sveBytes })
    // Raspberry Pi 4, Raspberry Pi 5, servers of 128 and 256 bits.
    assert.equal(of(['fp', 'asimd', 'crc32']), 'arm64')
    assert.equal(of(['fp', 'asimd', 'asimddp']), 'arm64-dotprod')
    assert.equal(of(['asimddp', 'i8mm', 'sve', 'sve2'], 16), 'arm64-i8mm-sve.128')
    assert.equal(of(['asimddp', 'i8mm', 'sve'], 32), 'arm64-i8mm-sve.256')
    assert.equal(of(['asimddp', 'i8mm', 'sve', 'sme', 'sme2'], 16), 'arm64-i8mm-sve.128-sme-sme2')
  })

  it('is the model where the system tells no flags', () => {
    const model = 'Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz'
    assert.equal(cpuClass({ arch: 'x64', flags: undefined, model, l2Bytes: undefined, sveBytes: 0 }), 'x64-intel-core-i7-9750h-cpu-2-60ghz')
    assert.equal(cpuClass({ arch: 'arm64', flags: undefined, model: '', l2Bytes, sveBytes: 0 }), 'arm64-unknown')
  })

  it('names the version of ONNX Runtime', () => {
    assert.match(kernelClass(), /^ort-\d+\.\d+\.\d+\/(x64|arm64)/)
    assert.equal(kernelClass(), kernelClass())
  })
})
