import { createPrivateKey, type KeyObject } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describeError, IdentityError } from '../../errors.ts'
import type { Random } from '../random.ts'
import { ed25519Identity, exportPrivateKey, type KeyIdentity } from './ed25519.node.ts'
import { isMissing, writeAtomically } from './file-storage.node.ts'
import { makeFolder } from './make-folder.node.ts'
import { takeProcessLock } from './process-lock.node.ts'

/** An identity that only this process uses until `release`. */
export interface LockedIdentity {
  readonly identity: KeyIdentity
  /** Lets another process use the key. Idempotent. */
  release(): Promise<void>
}

/** Larger than any Ed25519 key in PEM, so that a wrong file is not read to its end. */
const maxKeyFileBytes = 4096

/**
 * Reads a peer's key (PKCS #8, PEM) or makes a new one, and locks it, since two hosts of one key would take each other's
 * messages. The lock is `<path>.lock`, beside the file, with the process's id and start.
 *
 * @throws IdentityError when it is no file, is readable by others, is no Ed25519 key, cannot be made, or a living process uses it
 */
export async function loadIdentity(path: string, random: Random): Promise<LockedIdentity> {
  await requireFileOrNothing(path)
  await makeFolder(dirname(path), 0o700).catch((error: unknown) => fail(`cannot make the folder of ${path}`, error))
  const taken = await takeProcessLock(`${path}.lock`).catch((error: unknown) => fail(`cannot lock the key file ${path}`, error))
  if ('heldBy' in taken) {
    throw new IdentityError(
      `the key file ${path} is in use by process ${taken.heldBy}: give each process a key file of its own, or stop that one`,
      { detail: { pid: taken.heldBy } }
    )
  }
  try {
    const identity = (await readKey(path)) ?? (await makeKey(path, random))
    return { identity, release: () => taken.lock.release() }
  } catch (error) {
    await taken.lock.release()
    throw error
  }
}

/** Before its rights, and before it is opened: the advice for a file would be wrong for a folder, and a pipe would be waited for. */
async function requireFileOrNothing(path: string): Promise<void> {
  // What cannot be looked at fails again, with its reason, where it is used.
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || found.isFile()) return
  const what = found.isDirectory() ? `a folder: name a file in it, such as ${join(path, 'node.key')}` : 'no file: name another one'
  throw new IdentityError(`the key file ${path} is ${what}`)
}

async function readKey(path: string): Promise<KeyIdentity | undefined> {
  let pem: string
  try {
    const file = await open(path, 'r')
    try {
      const { mode, uid, size } = await file.stat()
      assertPrivate(path, mode, uid)
      if (size > maxKeyFileBytes) throw new IdentityError(`${path} has ${size} bytes: that is no key file`)
      pem = await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    if (isMissing(error)) return undefined
    if (error instanceof IdentityError) throw error
    return fail(`cannot read the key file ${path}`, error)
  }
  return identityFromPem(path, pem)
}

/** Windows has no such rights; its home folders are their owner's. */
function assertPrivate(path: string, mode: number, uid: number): void {
  if (process.platform === 'win32') return
  if ((mode & 0o077) !== 0) {
    throw new IdentityError(`others can reach the key file ${path} (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}`)
  }
  const self = process.getuid?.()
  if (self !== undefined && self !== uid) throw new IdentityError(`the key file ${path} belongs to another user (${uid})`)
}

function identityFromPem(path: string, pem: string): KeyIdentity {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (error) {
    // The cause would be OpenSSL's words; they never hold the key itself.
    throw new IdentityError(`${path} holds no private key in PEM: restore it, or name another file to get a new identity`, { cause: error })
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new IdentityError(`${path} holds a key of type ${key.asymmetricKeyType ?? 'unknown'}, and skein's are of Ed25519`)
  }
  return ed25519Identity(Buffer.from(key.export({ format: 'jwk' }).d as string, 'base64url'))
}

async function makeKey(path: string, random: Random): Promise<KeyIdentity> {
  const identity = ed25519Identity(random.bytes(32))
  try {
    await writeAtomically(path, new TextEncoder().encode(exportPrivateKey(identity)), String(process.pid))
  } catch (error) {
    return fail(`cannot write the new key file ${path}`, error)
  }
  return identity
}

function fail(what: string, error: unknown): never {
  throw new IdentityError(`${what}: ${describeError(error)}`, { cause: error })
}
