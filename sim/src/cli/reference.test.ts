import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { commandReference } from '@skein/coordinator'
import { skeinSimCommand } from './program.ts'

const document = new URL('../../../docs/reference/cli.md', import.meta.url)
const nothing = async (): Promise<number> => 0
const sim = skeinSimCommand(
  '0.0.0',
  {
    ...{ run: nothing, compare: nothing, live: nothing, compareLive: nothing, sweep: nothing, fuzz: nothing },
    ...{ list: nothing, explain: nothing, calibrate: nothing }
  },
  async () => undefined
)

describe('skein-sim in docs/reference/cli.md', () => {
  it('is as the command says of itself', async () => {
    const text = (await readFile(document, 'utf8')).replaceAll('\r\n', '\n')
    assert.ok(text.includes(commandReference(sim)), 'run node scripts/write-cli-reference.mjs, and commit what it writes')
  })

  it('has every flag that --help shows', async () => {
    const text = await readFile(document, 'utf8')
    assert.ok(sim.commands.length >= 8)
    for (const command of sim.commands) {
      for (const flag of command.helpInformation().match(/--[a-z][a-z-]*/g) ?? []) {
        assert.ok(flag === '--help' || text.includes(`\`${flag}`), `${command.name()} ${flag}`)
      }
    }
  })
})
