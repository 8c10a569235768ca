import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { packageFolders, readManifest, readText, root } from './repository.ts'

const execute = promisify(execFile)

describe('tidy: packages', function () {
  this.timeout(120_000)

  const { version } = JSON.parse(readText('lerna.json')) as { version: string }
  const manifests = packageFolders().map((folder) => ({ folder, manifest: readManifest(folder) }))

  it('share one version, one license and one range of Node.js', () => {
    const { engines, license } = readManifest('.')
    for (const { folder, manifest } of manifests) {
      assert.equal(manifest.version, version, folder)
      assert.equal(manifest.license, license, folder)
      assert.deepEqual(manifest.engines, engines, folder)
      for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
        if (name.startsWith('@skein/')) assert.equal(range, version, `${folder} -> ${name}`)
        else assert.match(range, /^\d+\.\d+\.\d+$/, `${folder} must pin ${name} exactly`)
      }
    }
  })

  for (const { folder, manifest } of manifests) {
    for (const subpath of Object.keys(manifest.exports ?? {})) {
      const name = manifest.name + subpath.slice(1)
      it(`${name} is imported without a warning, and holds no process open`, async () => {
        const script = `const names = Object.keys(await import(${JSON.stringify(name)})); console.log(names.length)`
        const options = { cwd: join(root, folder), timeout: 100_000 }
        const { stdout, stderr } = await execute(process.execPath, ['--input-type=module', '--eval', script], options)
        assert.equal(stderr, '')
        assert.match(stdout, /^\d+\n$/)
      })
    }
  }
})
