import { defaultText } from '@skein/node'
import type { Command, Option } from 'commander'

/**
 * The flags of a command and its subcommands as Markdown, from the same data as `--help`: a section for each command, a table
 * for each group of flags. Hidden flags are left out.
 */
export function commandReference(command: Command): string {
  return [section(command, '##'), ...command.commands.map((child) => section(child, '###'))].join('\n')
}

function section(command: Command, heading: string): string {
  const name = fullName(command)
  const usage = `${name} ${command.usage()}`.replaceAll(/\s+/g, ' ').trim()
  const groups = new Map<string, Option[]>()
  for (const option of command.options.filter(({ hidden }) => !hidden)) {
    const group = option.helpGroupHeading ?? 'Options:'
    groups.set(group, [...(groups.get(group) ?? []), option])
  }
  const argumentLines = command.registeredArguments.map((item) => `- \`<${item.name()}>\`: ${item.description}`)
  return [
    `${heading} ${name}`,
    '',
    command.description(),
    '',
    '```',
    usage,
    '```',
    ...(argumentLines.length === 0 ? [] : ['', ...argumentLines]),
    ...[...groups].flatMap(([group, options]) => ['', `**${group.replace(/:$/, '')}**`, '', ...optionTable(options)]),
    ''
  ].join('\n')
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`
}

function optionTable(options: readonly Option[]): string[] {
  const rows = options.map((option) => [
    `\`${option.flags}\``,
    meaning(option),
    defaultText(option) ?? '',
    option.envVar === undefined ? '' : `\`${option.envVar}\``
  ])
  return [
    '| flag | meaning | default | variable |',
    '| --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
  ]
}

function meaning({ description, argChoices }: Option): string {
  return argChoices === undefined ? description : `${description}: ${argChoices.map((choice) => `\`${choice}\``).join(', ')}`
}
