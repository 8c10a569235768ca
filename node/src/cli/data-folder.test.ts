import assert from 'node:assert/strict'
import { join } from 'node:path'
import { defaultDataFolder } from './data-folder.ts'

describe('data folder', () => {
  it('is where the system keeps data of programs', () => {
    assert.equal(defaultDataFolder({}, 'linux', '/home/ada'), join('/home/ada', '.local', 'share', 'skein'))
    assert.equal(defaultDataFolder({}, 'darwin', '/Users/ada'), join('/Users/ada', 'Library', 'Application Support', 'skein'))
    assert.equal(defaultDataFolder({ LOCALAPPDATA: '/local' }, 'win32', '/ada'), join('/local', 'skein', 'Data'))
    assert.equal(defaultDataFolder({}, 'win32', '/ada'), join('/ada', 'AppData', 'Local', 'skein', 'Data'))
  })

  it('follows XDG_DATA_HOME if that is absolute', () => {
    assert.equal(defaultDataFolder({ XDG_DATA_HOME: '/data' }, 'linux', '/home/ada'), join('/data', 'skein'))
    assert.equal(defaultDataFolder({ XDG_DATA_HOME: 'data' }, 'linux', '/home/ada'), join('/home/ada', '.local', 'share', 'skein'))
  })
})
