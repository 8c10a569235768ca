import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * Makes a folder and those that it is in, one after another. Not with `recursive` of Node.js: where nothing can be made although
 * the parent is there, as below `/proc`, that tries for ever, on a thread that nothing can interrupt.
 *
 * @param mode of the folders that are made. @default what the process's mask leaves of 0o777
 * @throws the system's error, such as `ENOENT`, `ENOTDIR` or `EACCES`, when it cannot be made
 */
export async function makeFolder(folder: string, mode?: number): Promise<void> {
  const path = resolve(folder)
  const parent = dirname(path)
  try {
    await mkdir(path, mode)
  } catch (error) {
    if (await isFolder(path)) return
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error
    await makeFolder(parent, mode)
    await mkdir(path, mode).catch(async (again: unknown) => {
      // Somebody else may have made it meanwhile.
      if (!(await isFolder(path))) throw again
    })
  }
}

async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined)
  return stats?.isDirectory() === true
}
