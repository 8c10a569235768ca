#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command } from 'commander'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('skein-sim')
  .description('Runs the production code of skein on a virtual network in virtual time.')
  .version(version)
  .addHelpText(
    'after',
    `
Parts of this version: the virtual clock and the seeded random numbers, as a library
(import { VirtualClock } from '@skein/sim'). It has no scenarios to run yet.`
  )
  // Bad usage is 2 in all of skein's commands, and 1 in commander.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(() => program.outputHelp())

program.parse()
