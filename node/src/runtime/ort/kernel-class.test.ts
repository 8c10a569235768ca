import assert from 'node:assert/strict'
import { cpuClass, kernelClass } from './kernel-class.ts'

const l2Bytes = 1024 * 1024

describe('the class of kernels', () => {
  it('is the strongest that all needed flags allow, and the level-2 cache', () => {
    const avx512 = ['avx', 'avx2', 'fma', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl']
    const of = (arch: string, flags: string[]): string => cpuClass({ arch, flags: new Set(flags), model: 'any', l2Bytes })
    assert.equal(of('x64', [...avx512, 'avx512_vnni']), 'x64-avx512-vnni-l2.1024k')
    assert.equal(of('x64', avx512), 'x64-avx512-l2.1024k')
    assert.equal(of('x64', ['avx', 'avx2', 'fma', 'avx512f']), 'x64-avx2-l2.1024k')
    assert.equal(of('x64', ['sse2']), 'x64-l2.1024k')
    assert.equal(of('arm64', ['asimddp', 'i8mm']), 'arm64-i8mm-l2.1024k')
  })

  it('is the model where the system tells no flags', () => {
    const model = 'Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz'
    assert.equal(cpuClass({ arch: 'x64', flags: undefined, model, l2Bytes: undefined }), 'x64-intel-core-i7-9750h-cpu-2-60ghz')
    assert.equal(cpuClass({ arch: 'arm64', flags: undefined, model: '', l2Bytes }), 'arm64-unknown')
  })

  it('names the version of ONNX Runtime', () => {
    assert.match(kernelClass(), /^ort-\d+\.\d+\.\d+\/(x64|arm64)/)
    assert.equal(kernelClass(), kernelClass())
  })
})
