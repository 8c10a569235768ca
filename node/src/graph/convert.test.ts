import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openCheckpoint, type OpenedCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { makeRandomCheckpoint } from '../testing/random-checkpoint.ts'
import { removeTemporary, temporaryName } from './cache-layout.ts'
import { folderLayout, runConvertJob, type ConvertJob } from './convert-job.ts'
import { groupRanges, prepareHead, prepareSpan, type PrepareProgress } from './convert.ts'
import { ConversionError } from './errors.ts'
import { buildGroupGraph } from './group-graph.ts'

describe('prepareSpan', () => {
  let root: string
  let cacheDir: string
  let model: string
  let checkpoint: OpenedCheckpoint

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'skein-convert-'))
    model = path.join(root, 'model')
    await makeRandomCheckpoint(model, { num_hidden_layers: 3 }, 21)
    checkpoint = await openCheckpoint(model, { cacheDir: path.join(root, 'manifests') })
  })

  beforeEach(async () => {
    cacheDir = await mkdtemp(path.join(root, 'cache-'))
  })

  after(async () => {
    await checkpoint.close()
    await rm(root, { recursive: true, force: true })
  })

  const prepare = (changes: Partial<Parameters<typeof prepareSpan>[0]> = {}) =>
    prepareSpan({ checkpoint, cacheDir, span: { start: 0, end: 2 }, inThisThread: true, ...changes })

  /** Every temporary file or folder below the cache. */
  async function leftovers(): Promise<string[]> {
    const names = await readdir(cacheDir, { recursive: true })
    return names.filter((name) => name.includes('tmp-'))
  }

  it('converts once, and uses what is there from then on', async () => {
    const progress: PrepareProgress[] = []
    const first = await prepare({ onProgress: (event) => progress.push(event), inThisThread: false })
    const last = progress.at(-1)
    assert.ok(last?.kind === 'convert' && last.doneBytes === last.totalBytes)
    const file = path.join(first.groups[0]?.folder ?? '', 'weights.bin')
    const { mtimeMs, ino } = await stat(file)
    progress.length = 0
    assert.deepEqual(await prepare({ onProgress: (event) => progress.push(event) }), first)
    assert.equal(progress.length, 0)
    const again = await stat(file)
    assert.deepEqual([again.mtimeMs, again.ino], [mtimeMs, ino])
    assert.deepEqual(await leftovers(), [])
    assert.deepEqual(
      first.groups.map(({ blocks }) => blocks),
      [
        { start: 0, end: 1 },
        { start: 1, end: 2 }
      ]
    )
  })

  it('shares the weights between numbers of lanes, and the rotary tables between groups', async () => {
    const two = await prepare()
    const three = await prepare({ lanes: 3, span: { start: 0, end: 1 } })
    assert.equal(three.groups[0]?.folder, two.groups[0]?.folder)
    assert.deepEqual((await readdir(three.groups[0]?.folder ?? '')).sort(), [
      'lanes-2.onnx',
      'lanes-3.onnx',
      'meta.json',
      'rope.bin',
      'weights.bin'
    ])
    const inode = async (index: number) => (await stat(path.join(two.groups[index]?.folder ?? '', 'rope.bin'))).ino
    assert.equal(await inode(0), await inode(1))
  })

  it('takes the folder of a checkpoint, too', async () => {
    const span = await prepare({ checkpoint: model })
    assert.match(path.relative(cacheDir, span.groups[0]?.folder ?? ''), /^llama-\d+x64@/)
    assert.ok(
      (await prepareHead({ checkpoint: model, cacheDir, dtype: 'q8', inThisThread: true })).folder.endsWith(path.join('q8-1', 'head'))
    )
  })

  it('makes damaged files again, whatever the damage', async () => {
    const { groups } = await prepare()
    const folder = groups[0]?.folder ?? ''
    const weights = path.join(folder, 'weights.bin')
    const good = await readFile(weights)
    const damages: Array<() => Promise<unknown>> = [
      () => truncate(weights, good.byteLength - 1),
      () => truncate(weights, good.byteLength + 1),
      () => writeFile(weights, Buffer.alloc(good.byteLength)),
      () => rm(weights),
      () => rm(path.join(folder, 'meta.json')),
      () => writeFile(path.join(folder, 'meta.json'), '{"format":1'),
      () => writeFile(path.join(folder, 'lanes-2.onnx'), 'x'),
      () => rm(path.join(folder, 'rope.bin')),
      () => writeFile(path.join(folder, 'rope.bin'), 'x'), // the shared file: hard links are one file
      async () => {
        await rm(folder, { recursive: true })
        await writeFile(folder, 'a file where the folder should be')
      }
    ]
    const model1 = await readFile(path.join(folder, 'lanes-2.onnx'))
    const rope = await readFile(path.join(folder, 'rope.bin'))
    for (const damage of damages) {
      await damage()
      await prepare()
      assert.deepEqual(await readFile(weights), good)
      assert.deepEqual(await readFile(path.join(folder, 'lanes-2.onnx')), model1)
      assert.deepEqual(await readFile(path.join(folder, 'rope.bin')), rope)
      assert.deepEqual(await leftovers(), [])
    }
  })

  it('may run several times at once, in one process and in several', async () => {
    const inOne = await Promise.all([prepare(), prepare(), prepare({ inThisThread: false })])
    assert.deepEqual(inOne[0], inOne[2])
    assert.deepEqual(await leftovers(), [])

    const other = await mkdtemp(path.join(root, 'cache-'))
    const script = path.join(root, 'prepare.mjs')
    await writeFile(
      script,
      `import { prepareSpan } from ${JSON.stringify(new URL('./convert.js', import.meta.url).href)}
       const [checkpoint, cacheDir] = process.argv.slice(2)
       await prepareSpan({ checkpoint, cacheDir, span: { start: 0, end: 3 }, dtype: 'q8' })`
    )
    const processes = [1, 2].map(() => fork(script, [model, other], { execArgv: [] }))
    const codes = await Promise.all(processes.map(async (child) => (await once(child, 'exit'))[0] as number))
    assert.deepEqual(codes, [0, 0])
    cacheDir = other
    assert.deepEqual(await leftovers(), [])
  })

  it('clears away what a crashed process left, and leaves what a living one writes', async () => {
    const { groups } = await prepare({ span: { start: 0, end: 1 } })
    const parent = path.dirname(groups[0]?.folder ?? '')
    const living = path.join(parent, temporaryName())
    // A process id beyond the largest that Linux gives.
    const dead = path.join(parent, path.basename(living).replace(`-${process.pid}-`, '-99999999-'))
    for (const folder of [living, dead]) {
      await mkdir(folder)
      await writeFile(path.join(folder, 'weights.bin'), 'half')
    }
    await prepare({ span: { start: 1, end: 2 } })
    const names = await readdir(parent)
    assert.ok(names.includes(path.basename(living)))
    assert.ok(!names.includes(path.basename(dead)))
  })

  it('leaves a temporary folder that cannot be deleted now, as Windows refuses while a node maps a file of it', async () => {
    const refusing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }))
    for (const code of ['EPERM', 'EACCES', 'EBUSY']) await removeTemporary(path.join(root, temporaryName()), refusing(code))
    await assert.rejects(removeTemporary(path.join(root, temporaryName()), refusing('EIO')), { code: 'EIO' })
  })

  it('is none the worse for a process that was killed in the middle', async () => {
    const script = path.join(root, 'killed.mjs')
    await writeFile(
      script,
      `import { prepareSpan } from ${JSON.stringify(new URL('./convert.js', import.meta.url).href)}
       const [checkpoint, cacheDir] = process.argv.slice(2)
       let told = 0
       const onProgress = ({ kind }) => kind === 'convert' && ++told === 15 && process.kill(process.pid, 'SIGKILL')
       await prepareSpan({ checkpoint, cacheDir, span: { start: 0, end: 3 }, inThisThread: true, onProgress })`
    )
    const child = fork(script, [model, cacheDir], { execArgv: [] })
    assert.deepEqual(await once(child, 'exit'), process.platform === 'win32' ? [1, null] : [null, 'SIGKILL'])
    assert.equal((await leftovers()).filter((name) => name.endsWith('weights.bin')).length, 1)
    // The first block was whole, the second one half-written.
    const { groups } = await prepare({ checkpoint: model })
    assert.deepEqual(await leftovers(), [])
    const untouched = await prepare({ cacheDir: await mkdtemp(path.join(root, 'cache-')), checkpoint: model })
    for (const [index, { folder }] of groups.entries()) {
      const expected = await readFile(path.join(untouched.groups[index]?.folder ?? '', 'weights.bin'))
      assert.deepEqual(await readFile(path.join(folder, 'weights.bin')), expected)
    }
  })

  it('says once that the disk is full, and leaves nothing', async () => {
    const graph = buildGroupGraph(checkpoint.config, { blocks: { start: 0, end: 1 }, lanes: 1, dtype: 'f32' })
    const { plan, weightsBytes, rope } = graph
    const folder = path.join(cacheDir, 'f32-1', 'blocks-0-1')
    const job: ConvertJob = {
      checkpointFolder: model,
      ropeFolder: path.join(cacheDir, 'rope-1'),
      folders: [{ folder, plan, weightsBytes, rope, layout: folderLayout(plan, weightsBytes, rope), what: 'blocks 0:1' }]
    }
    // The disk fills up at every file and at several places in it.
    for (const room of [0, 10, 20_000, 60_000, 100_000]) {
      let left = room
      const openFile = async (file: string) => {
        const handle = await open(file, 'wx')
        const write = handle.write.bind(handle) as (...values: unknown[]) => Promise<unknown>
        const refuse = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
        return Object.assign(handle, {
          write: async (bytes: Uint8Array, ...rest: unknown[]) => {
            left -= bytes.byteLength
            if (left < 0) throw refuse()
            return write(bytes, ...rest)
          }
        })
      }
      await assert.rejects(runConvertJob(job, { openFile }), (error) => {
        assert.ok(error instanceof ConversionError, String(error))
        assert.equal(error.code, 'ERR_SKEIN_DISK_FULL')
        assert.ok(error.message.includes(cacheDir))
        return true
      })
      assert.deepEqual(await leftovers(), [])
      await assert.rejects(stat(folder), { code: 'ENOENT' })
    }
    await runConvertJob(job)
    await stat(folder)
  })

  it('says that a cache folder cannot be used', async () => {
    const file = path.join(cacheDir, 'file')
    await writeFile(file, '')
    const useless = [file, path.join(file, 'below'), ...(process.platform === 'linux' ? ['/proc/skein', '/proc/skein/below'] : [])]
    for (const cacheDir of useless) {
      await assert.rejects(prepare({ cacheDir }), { code: 'ERR_SKEIN_CACHE_FOLDER' })
      await assert.rejects(prepare({ cacheDir, checkpoint: model }), { code: 'ERR_SKEIN_CACHE_FOLDER' })
    }
  })

  it('stops when it is aborted, and leaves nothing', async () => {
    await assert.rejects(prepare({ signal: AbortSignal.abort() }), { code: 'ERR_SKEIN_ABORTED' })
    const controller = new AbortController()
    const stopped = prepare({
      span: { start: 0, end: 3 },
      signal: controller.signal,
      inThisThread: false,
      onProgress: () => controller.abort()
    })
    await assert.rejects(stopped, { code: 'ERR_SKEIN_ABORTED' })
    assert.deepEqual(await leftovers(), [])
  })

  it('refuses a weight that is not a number, naming the tensor', async () => {
    const broken = path.join(root, 'broken')
    await makeRandomCheckpoint(broken, {}, 2, { dtype: 'f32' })
    const file = path.join(broken, 'model.safetensors')
    const bytes = await readFile(file)
    const start = 8 + Number(bytes.readBigUInt64LE())
    const header = JSON.parse(bytes.subarray(8, start).toString()) as Record<string, { data_offsets: [number, number] }>
    bytes.writeFloatLE(NaN, start + (header['model.layers.0.mlp.up_proj.weight']?.data_offsets[0] ?? 0) + 400)
    await writeFile(file, bytes)
    await assert.rejects(prepare({ checkpoint: broken, inThisThread: false }), (error) => {
      assert.ok(error instanceof ConversionError && error.code === 'ERR_SKEIN_BAD_WEIGHT')
      assert.equal(error.detail['tensor'], 'model.layers.0.mlp.up_proj.weight')
      return true
    })
    assert.deepEqual(await leftovers(), [])
  })

  it('refuses spans outside the model, and impossible groups and lanes', async () => {
    for (const span of [
      { start: 0, end: 4 },
      { start: 2, end: 2 },
      { start: -1, end: 2 },
      { start: 0.5, end: 2 }
    ]) {
      await assert.rejects(prepare({ span }), { code: 'ERR_SKEIN_INVALID_ARGUMENT', message: /0:3/ })
    }
    await assert.rejects(prepare({ groupBlocks: 0 }), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
    await assert.rejects(prepare({ lanes: 33 }), { code: 'ERR_SKEIN_INVALID_ARGUMENT' })
  })

  it('cuts groups at the same blocks wherever a span begins', () => {
    assert.deepEqual(groupRanges({ start: 3, end: 9 }, 4), [
      { start: 3, end: 4 },
      { start: 4, end: 8 },
      { start: 8, end: 9 }
    ])
  })
})
