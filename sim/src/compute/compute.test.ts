import assert from 'node:assert/strict'
import { ChecksumRuntime } from './checksum-runtime.ts'
import { checksumBytes, checksumEmbedding, ReferenceMachine } from './checksum-row.ts'
import { calibrate } from './calibrate.ts'
import { logitsUs, turnCost } from './cost-model.ts'
import { devicePresets } from './device-presets.ts'
import { modelPresets } from './model-presets.ts'

const blocks = 6
const numerics = { weights: 'q4', kernels: 'checksum' } as const

function runtimeOf(start: number, end: number): ChecksumRuntime {
  const entryPoints = Array.from({ length: end - start + 1 }, (_, index) => start + index)
  return new ChecksumRuntime({ span: { start, end }, entryPoints, hiddenSize: 8, numerics, contextTokens: 100, kvTokens: 200 })
}

async function pass(runtime: ChecksumRuntime, position: number, input: Uint8Array): Promise<Uint8Array> {
  const { span } = runtime.info
  const entry = { cache: 'c', position, rows: input.byteLength / checksumBytes, span, exact: false, encoding: 'raw', input } as const
  const [output] = (await runtime.run([entry])).outputs
  assert.ok(output?.ok === true)
  return output.output
}

const context = Array.from({ length: 40 }, (_, index) => (index * 13) % 95)
const rows = Buffer.concat(context.map(checksumEmbedding))

describe('checksums', () => {
  it('come out the same in any chunks and any split of the blocks, after any cut-back', async () => {
    const expected = ReferenceMachine.output(blocks, context)
    const whole = runtimeOf(0, blocks)
    await whole.reserve('c', 50, whole.info.span)
    assert.deepEqual((await pass(whole, 0, rows)).subarray(-checksumBytes), expected)
    const parts = [runtimeOf(0, 2), runtimeOf(2, 3), runtimeOf(3, blocks)]
    for (const part of parts) await part.reserve('c', 50, part.info.span)
    const through = async (from: number, to: number): Promise<Uint8Array> => {
      let values: Uint8Array = rows.subarray(from * checksumBytes, to * checksumBytes)
      for (const part of parts) values = await pass(part, from, values)
      return values
    }
    await through(0, 30)
    await through(7, 29)
    assert.deepEqual((await through(29, 40)).subarray(-checksumBytes), expected)
  })

  it('tell a lost, a doubled, a swapped and a changed row, and another block', () => {
    const outputs = [
      context,
      context.slice(1),
      [context[0]!, ...context],
      context.with(3, context[4]!).with(4, context[3]!),
      context.with(0, 94)
    ].map((tokens) => Buffer.from(ReferenceMachine.output(blocks, tokens)).toString('hex'))
    outputs.push(Buffer.from(ReferenceMachine.output(blocks - 1, context)).toString('hex'))
    assert.equal(new Set(outputs).size, outputs.length)
  })

  it('are refused where there are fewer bytes than rows, and the cache stays as it was', async () => {
    const runtime = runtimeOf(0, blocks)
    await runtime.reserve('c', 50, runtime.info.span)
    const { span } = runtime.info
    const input = rows.subarray(0, 2 * checksumBytes - 1)
    const entry = { cache: 'c', position: 0, rows: 2, span, exact: false, encoding: 'raw', input } as const
    const [refused] = (await runtime.run([entry])).outputs
    assert.equal(refused?.ok, false)
    assert.deepEqual((await pass(runtime, 0, rows)).subarray(-checksumBytes), ReferenceMachine.output(blocks, context))
  })

  it('depend on every bit of a row', () => {
    const seen = new Set<string>()
    const row = new Uint8Array(checksumBytes)
    const machine = (): ChecksumRuntime => runtimeOf(0, 1)
    return Promise.all(
      Array.from({ length: 8 * checksumBytes }, async (_, bit) => {
        const input = row.slice()
        input[bit >> 3]! ^= 1 << (bit & 7)
        const runtime = machine()
        await runtime.reserve('c', 1, runtime.info.span)
        seen.add(Buffer.from(await pass(runtime, 0, input)).toString('hex'))
      })
    ).then(() => assert.equal(seen.size, 8 * checksumBytes))
  })
})

describe('the cost model', () => {
  const model = modelPresets['llama-3-8b']!
  const device = devicePresets['rtx-3090']!
  const one = { rows: 1, pastRows: 0, blocks: 8 }

  it('reads weights once for all rows of a turn, until arithmetic takes longer', () => {
    const alone = turnCost(model, device, [one])
    const batch = turnCost(
      model,
      device,
      Array.from({ length: 8 }, () => one)
    )
    assert.ok(batch.totalUs < alone.totalUs * 1.01)
    const chunk = turnCost(model, device, [{ ...one, rows: 2048 }])
    assert.ok(chunk.computeUs > chunk.memoryUs)
    const weightsUs = ((8 * model.weightBytesPerBlock) / device.memoryBandwidthBytesPerSecond) * 1e6
    assert.ok(Math.abs(alone.memoryUs / weightsUs - 1) < 1e-3)
  })

  it('charges for the past, the overhead and the ends', () => {
    const early = turnCost(model, device, [one])
    const late = turnCost(model, device, [{ ...one, pastRows: 8000 }])
    assert.ok(late.memoryUs > early.memoryUs)
    assert.equal(early.overheadUs, device.overheadUsPerTurn + 8 * device.overheadUsPerBlock)
    assert.ok(logitsUs(model, device, 1) > device.overheadUsPerTurn)
  })
})

describe('calibrate', () => {
  it('measures this machine by the real runtime', async () => {
    const { device, measured } = await calibrate({ quick: true })
    assert.ok(device.memoryBandwidthBytesPerSecond > 1e8 && device.memoryBandwidthBytesPerSecond < 1e13)
    assert.ok(device.flopsPerSecond > 1e8 && device.flopsPerSecond < 1e15)
    assert.ok(measured.tinyLongUs > 0 && measured.chunkUs > measured.stepUs)
  }).timeout(30_000)
})
