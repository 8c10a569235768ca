import assert from 'node:assert/strict'
import { codeFiles, readText, textFiles } from './repository.ts'

const MAX_LINES = 500

describe('tidy: files', () => {
  it(`have at most ${MAX_LINES} lines`, () => {
    const long = codeFiles()
      .map((path) => ({ path, lines: readText(path).split('\n').length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES)
      .map(({ path, lines }) => `${path}: ${lines} lines`)
    assert.deepEqual(long, [], 'split these where a reader would')
  })

  it('name no folder of a machine on which they were written', () => {
    // Put together from parts, or this file would find itself.
    const folders = ['work', 'root'].map((name) => `/${name}/`)
    const found = textFiles().flatMap((path) => {
      const text = readText(path)
      return folders.filter((folder) => new RegExp(`(?<![\\w.~}-])${folder}`).test(text)).map((folder) => `${folder} in ${path}`)
    })
    assert.deepEqual(found, [])
  })

  it('name no package registry, so that an install uses the one that the machine is set up for', () => {
    const hosts = [
      ['registry', 'npmjs'],
      ['registry', 'yarnpkg'],
      ['unpkg', 'com'],
      ['npmmirror', 'com']
    ].map((parts) => parts.join('.'))
    const found = textFiles().flatMap((path) => hosts.filter((host) => readText(path).includes(host)).map((host) => `${host} in ${path}`))
    assert.deepEqual(found, [])
    const lock = JSON.parse(readText('package-lock.json')) as { packages: Record<string, { resolved?: string }> }
    const resolved = Object.entries(lock.packages).filter(([, entry]) => entry.resolved?.includes('://') === true)
    assert.deepEqual(
      resolved.map(([path]) => path),
      [],
      'run npm with the .npmrc of this repository'
    )
    assert.doesNotMatch(readText('.npmrc'), /registry\s*=/)
  })

  it('end with one line break and hold no tabs', () => {
    const bad = codeFiles().filter((path) => {
      const text = readText(path)
      return text.length > 0 && (!text.endsWith('\n') || text.endsWith('\n\n') || /^\t/m.test(text))
    })
    assert.deepEqual(bad, [])
  })
})
