import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { defaultText, nodeCommand, runCommand } from '@skein/node'
import { skeinCommand } from './program.ts'
import { commandReference } from './reference.ts'

const document = new URL('../../../docs/reference/cli.md', import.meta.url)
const nothing = async (): Promise<void> => undefined
const skein = skeinCommand('0.0.0', { run: nothing, chat: nothing, status: nothing })
const node = nodeCommand('0.0.0', nothing)

describe('docs/reference/cli.md', () => {
  it('says what the commands say of themselves', async () => {
    const text = (await readFile(document, 'utf8')).replaceAll('\r\n', '\n')
    for (const command of [skein, node]) {
      assert.ok(
        text.includes(commandReference(command)),
        `${command.name()}: run node scripts/write-cli-reference.mjs, and commit what it writes`
      )
    }
  })

  it('has every flag that --help shows', async () => {
    const text = await readFile(document, 'utf8')
    for (const command of [...skein.commands, node]) {
      const flags = command.helpInformation().match(/--[a-z][a-z-]*/g) ?? []
      assert.ok(flags.length > 5, `${command.name()} has a help`)
      for (const flag of flags.filter((name) => name !== '--help')) {
        assert.ok(text.includes(`\`${flag}`) || text.includes(`, ${flag}\``), `${command.name()} ${flag}`)
      }
    }
  })

  it('has no default that --help hides, nor a required flag that it does not mark', async () => {
    for (const [command, argv] of [...skein.commands.map((child) => [child, [child.name()]] as const), [node, []] as const]) {
      let help = ''
      const program = command === node ? node : skein
      await runCommand(program, ['node', program.name(), ...argv, '--help'], { stdout: { write: (text) => (help += text) } })
      const words = help.replaceAll(/\s+/g, ' ')
      for (const option of command.options.filter(({ hidden }) => !hidden)) {
        const fallback = defaultText(option)
        if (fallback === undefined) continue
        const said = option.mandatory ? 'required' : `default: ${fallback}`
        const [, facts = ''] = words.split(`${option.flags} ${option.description} (`)
        assert.ok(facts.split(')')[0]!.split('; ').includes(said), `${command.name()} ${option.flags}: ${said}`)
      }
      assert.match(help, /\nExamples:\n {2}\$ /, command.name())
      assert.match(help, /\nExit codes: 0 [^\n]*2 bad usage/, command.name())
    }
  })
})
