import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clockCompliance } from '../../testing/clock-compliance.ts'
import { ManualClock } from '../../testing/manual-clock.ts'
import { randomCompliance } from '../../testing/random-compliance.ts'
import { seededRandom } from '../seeded-random.ts'
import { cryptoRandom } from './crypto-random.node.ts'
import { fileStorage } from './file-storage.node.ts'
import { makeFolder } from './make-folder.node.ts'
import { loadIdentity } from './identity-file.node.ts'
import { createLogger, type LoggerInit } from './pino-logger.node.ts'
import { systemClock } from './system-clock.node.ts'

describe('the ports on this system', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-ports-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  describe('systemClock', () => {
    clockCompliance(() => {
      const clock = systemClock()
      return { clock, pass: (ms) => clock.sleep(ms) }
    })
  })

  describe('cryptoRandom', () => {
    randomCompliance(cryptoRandom)
  })

  describe('fileStorage', () => {
    it('keeps, replaces and removes files that only their owner can read', async () => {
      const storage = fileStorage(join(folder, 'state'))
      assert.equal(await storage.read('a/sequence'), undefined)
      await storage.write('a/sequence', Uint8Array.of(1))
      await storage.write('a/sequence', Uint8Array.of(2, 3))
      assert.deepEqual(await storage.read('a/sequence'), Uint8Array.of(2, 3))
      assert.deepEqual(await readdir(join(folder, 'state', 'a')), ['sequence'])
      if (process.platform !== 'win32') {
        assert.equal((await stat(join(folder, 'state', 'a', 'sequence'))).mode & 0o777, 0o600)
        assert.equal((await stat(join(folder, 'state'))).mode & 0o777, 0o700)
      }
      await storage.remove('a/sequence')
      await storage.remove('a/sequence')
      assert.equal(await storage.read('a/sequence'), undefined)
    })

    it('takes many writes of one file at once, and keeps the last', async () => {
      const storage = fileStorage(folder)
      await Promise.all(Array.from({ length: 20 }, (_, index) => storage.write('x', new Uint8Array(20_000 - 1000 * index).fill(index))))
      assert.deepEqual(await storage.read('x'), new Uint8Array(1000).fill(19))
      assert.deepEqual(await readdir(folder), ['x'])
    })

    it('refuses names that lead elsewhere, and says which file failed', async () => {
      const storage = fileStorage(folder)
      for (const name of ['../x', '/x', 'a/../../x', 'a//b', '', '.', 'a b', 'a\0']) {
        await assert.rejects(storage.write(name, Uint8Array.of(1)), { code: 'ERR_SKEIN_INVALID_ARGUMENT' }, name)
      }
      await storage.write('file', Uint8Array.of(1))
      await assert.rejects(storage.write('file/below', Uint8Array.of(1)), { code: 'ERR_SKEIN_STORAGE', message: /file[/\\]below/ })
      // Windows says of a path below a file that there is no such file.
      if (process.platform === 'win32') assert.equal(await storage.read('file/below'), undefined)
      else await assert.rejects(storage.read('file/below'), { code: 'ERR_SKEIN_STORAGE' })
    })
  })

  describe('makeFolder', () => {
    it('makes all that is missing, with the mode, also when several do so at once', async () => {
      const path = join(folder, 'a', 'b', 'c')
      await Promise.all(Array.from({ length: 8 }, () => makeFolder(path, 0o700)))
      await makeFolder(path)
      assert.ok((await stat(path)).isDirectory())
      if (process.platform !== 'win32') assert.equal((await stat(join(folder, 'a'))).mode & 0o777, 0o700)
    })

    it('fails below a file, and on one', async () => {
      const file = join(folder, 'file')
      await writeFile(file, '')
      await assert.rejects(makeFolder(file), { code: 'EEXIST' })
      await assert.rejects(makeFolder(join(file, 'a', 'b')), { code: process.platform === 'win32' ? 'EEXIST' : 'ENOTDIR' })
      await assert.rejects(fileStorage(join(file, 'a')).write('x', Uint8Array.of(1)), { code: 'ERR_SKEIN_STORAGE' })
      await assert.rejects(loadIdentity(join(file, 'a', 'key'), seededRandom(1)), { code: 'ERR_SKEIN_IDENTITY' })
    })

    it('fails where nothing can be made, and does not try for ever', async function () {
      if (process.platform !== 'linux') return this.skip()
      await makeFolder('/proc')
      for (const path of ['/proc/skein', '/proc/skein/a/b']) {
        await assert.rejects(makeFolder(path), { code: 'ENOENT' })
        await assert.rejects(fileStorage(path).write('x', Uint8Array.of(1)), { code: 'ERR_SKEIN_STORAGE', message: /\/proc\/skein/ })
        await assert.rejects(loadIdentity(join(path, 'key'), seededRandom(1)), { code: 'ERR_SKEIN_IDENTITY', message: /\/proc\/skein/ })
      }
    })
  })

  describe('loadIdentity', () => {
    const identityError = (message: RegExp) => ({ code: 'ERR_SKEIN_IDENTITY', message })

    it('makes a key that only its owner can read, and reads it again', async () => {
      const path = join(folder, 'keys', 'peer.key')
      const first = await loadIdentity(path, seededRandom(1))
      await assert.rejects(loadIdentity(path, seededRandom(2)), identityError(new RegExp(`in use by process ${process.pid}`)))
      await first.release()
      await first.release()
      const again = await loadIdentity(path, seededRandom(2))
      assert.equal(again.identity.peerId, first.identity.peerId)
      if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o077, 0)
      assert.deepEqual((await readdir(join(folder, 'keys'))).sort(), ['peer.key', 'peer.key.lock'])
      await again.release()
    })

    it('takes over the lock of a process that was killed, whoever has its number now', async () => {
      const path = join(folder, 'peer.key')
      const ended = spawnSync(process.execPath, ['-e', '']).pid
      const locks = [{ pid: ended, startTicks: '1', bootId: 'b' }, { pid: process.ppid, startTicks: '1', bootId: 'b' }, 'no lock', {}]
      for (const lock of locks) {
        await writeFile(`${path}.lock`, JSON.stringify(lock))
        await (await loadIdentity(path, seededRandom(1))).release()
      }
    })

    it('takes over the lock of a process that ended without giving it back', async () => {
      const path = join(folder, 'peer.key')
      await writeFile(`${path}.lock`, JSON.stringify({ pid: spawnSync(process.execPath, ['-e', '']).pid, startTicks: '', bootId: '' }))
      const script = `import { loadIdentity, cryptoRandom } from ${JSON.stringify(new URL('../../index.node.js', import.meta.url).href)}
        await loadIdentity(${JSON.stringify(path)}, cryptoRandom())
        console.log('locked')`
      const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
      assert.match(run.stdout, /locked/, run.stderr)
      // Its process has ended without a release.
      await (await loadIdentity(path, seededRandom(1))).release()
    })

    it('refuses a key that others can read, and a file that is no key', async function () {
      const path = join(folder, 'peer.key')
      await (await loadIdentity(path, seededRandom(1))).release()
      const pem = await readFile(path)
      if (process.platform !== 'win32') {
        await chmod(path, 0o640)
        await assert.rejects(loadIdentity(path, seededRandom(1)), identityError(/chmod 600/))
        await chmod(path, 0o600)
      }
      for (const content of [pem.subarray(0, 40), Buffer.alloc(0), Buffer.alloc(10_000, 65)]) {
        await writeFile(path, content)
        await assert.rejects(loadIdentity(path, seededRandom(1)), identityError(/no (private )?key/))
      }
      await writeFile(path, pem)
      await (await loadIdentity(path, seededRandom(1))).release()
    })

    it('says that a folder or a device is no file, whatever its rights, and puts no lock beside it', async function () {
      if (process.platform === 'win32') return this.skip()
      const shared = join(folder, 'shared')
      await makeFolder(shared, 0o777)
      await chmod(shared, 0o777)
      await assert.rejects(
        loadIdentity(shared, seededRandom(1)),
        identityError(/^the key file \S+\/shared is a folder: .*\/shared\/node\.key$/)
      )
      await assert.rejects(loadIdentity('/dev/null', seededRandom(1)), identityError(/^the key file \/dev\/null is no file/))
      assert.deepEqual(await readdir(folder), ['shared'])
    })
  })

  describe('createLogger', () => {
    const lines = (init: Partial<LoggerInit>): [string[], ReturnType<typeof createLogger>] => {
      const written: string[] = []
      const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6))
      return [written, createLogger({ clock, destination: { write: (line) => void written.push(line) }, ...init })]
    }

    it('writes JSON with the time of its clock, the context and the error', () => {
      const [written, logger] = lines({ json: true, level: 'info' })
      logger.child({ span: '0:4' }).info('ready', { event: 'ready', port: 1 })
      logger.warn('it failed', { peer: 'x' }, new Error('because', { cause: new Error('of this') }))
      logger.debug('not written')
      assert.equal(written.length, 2)
      const time = '2026-01-02T03:04:05.006Z'
      assert.deepEqual(JSON.parse(written[0]!), { level: 'info', time, span: '0:4', event: 'ready', port: 1, msg: 'ready' })
      const warning = JSON.parse(written[1]!) as { error: { message: string } }
      assert.equal(warning.error.message, 'because: of this')
    })

    it('writes one line of text for people, whatever the values hold, and is quiet by default', () => {
      const [written, logger] = lines({})
      logger.info('not written')
      logger.warn('slow', { ms: 12, reason: 'two\nlines', peer: '12D3' }, new Error('bad\u001b[2J'))
      assert.deepEqual(written, ['03:04:05.006 warn  slow: bad [2J ms=12 reason="two\\nlines" peer=12D3\n'])
    })
  })
})
