/** Writes docs/reference/cli.md from the commands themselves. Run `npm run build` first. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commandReference } from '../coordinator/dist/cli/reference.js'
import { skeinCommand } from '../coordinator/dist/cli/program.js'
import { nodeCommand } from '../node/dist/index.js'
import { skeinSimCommand } from '../sim/dist/cli/program.js'
import { root } from './lib/workspace.mjs'

const path = join(root, 'docs', 'reference', 'cli.md')
const begin = '<!-- from here on written by scripts/write-cli-reference.mjs -->'
const nothing = async () => {}
const commands = [
  skeinCommand('', { run: nothing, chat: nothing, status: nothing }),
  nodeCommand('', nothing),
  skeinSimCommand('', { fuzz: nothing, calibrate: nothing }, nothing)
]

const [introduction, ...rest] = readFileSync(path, 'utf8').split(begin)
if (rest.length !== 1) throw new Error(`${path} must have the line ${begin} once`)
writeFileSync(path, `${introduction}${begin}\n\n${commands.map(commandReference).join('\n')}`)
