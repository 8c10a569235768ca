import assert from 'node:assert/strict'
import { Option } from 'commander'
import { optionDescription } from './help.ts'

describe('optionDescription', () => {
  const option = (): Option => new Option('--size <n>', 'how large')

  it('says the default, also one that is only words', () => {
    assert.equal(optionDescription(option().default(16)), 'how large (default: 16)')
    assert.equal(optionDescription(option().default(undefined, 'half of it').env('SIZE')), 'how large (default: half of it; env: SIZE)')
    assert.equal(optionDescription(option().choices(['s', 'm']).default('m')), 'how large (one of s, m; default: m)')
  })

  it('marks what is required, and adds nothing where nothing is to say', () => {
    assert.equal(optionDescription(option().makeOptionMandatory().env('SIZE')), 'how large (required; env: SIZE)')
    assert.equal(optionDescription(option()), 'how large')
    assert.equal(optionDescription(new Option('--fast', 'be quick').default(false)), 'be quick')
  })
})
