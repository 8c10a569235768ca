import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { announcementFields, signAnnouncement, verifyAnnouncement } from '../announcement/signing.ts'
import { WireErrorCode } from '../errors.ts'
import { channelLimits, limits } from '../limits.ts'
import { ed25519Identity, ed25519Verifier } from '../ports/system/ed25519.node.ts'
import { protocols } from '../versions.ts'
import { decodeControlRequest, decodeLink, encodeControl, encodeLink } from './codec.ts'
import type { ControlRequest } from './control.ts'
import { directoryRequestTable, directoryResponseTable } from './directory.ts'
import type { Fields } from './fields.ts'
import type { LinkMessage } from './link.ts'
import {
  ackCode,
  ackFields,
  controlRequestTable,
  controlResponseTable,
  linkTable,
  partTables,
  stepCode,
  stepFields,
  wants
} from './tables.ts'

/** Every table of fields that the validators use, by the heading under which the document has it. */
const tables: Readonly<Record<string, Readonly<Record<string, Fields<object>>>>> = {
  part: partTables,
  control: { ...controlRequestTable, ...controlResponseTable },
  link: { ...linkTable, step: stepFields, ack: ackFields },
  directory: { ...directoryRequestTable, ...directoryResponseTable },
  record: { Announcement: announcementFields }
}

/** The rows of the tables in a part of the document, without headers, as lists of cells. */
function rowsOf(section: string): string[][] {
  const lines = section.split('\n').filter((line) => line.startsWith('|'))
  const rows = lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  )
  return rows.filter((row, i) => !/^-+$/.test(row[0]!) && !/^-+$/.test(rows[i + 1]?.[0] ?? ''))
}

function code(cell: string | undefined): string {
  assert.match(cell ?? '', /^`.*`$/)
  return cell!.slice(1, -1)
}

describe('docs/protocol.md', () => {
  let text = ''
  before(async () => {
    text = await readFile(new URL('../../../docs/protocol.md', import.meta.url), 'utf8')
  })

  /** The text below a heading, up to the next one. */
  function section(heading: string): string {
    const start = text.indexOf(`\n${heading}\n`)
    assert.ok(start >= 0, `there is no section ${heading}`)
    const body = text.slice(start + heading.length + 2)
    const end = body.search(/\n#+ /)
    return end < 0 ? body : body.slice(0, end)
  }

  it('describes every field of every message, with its type, in the order of the wire, and no other', () => {
    const documented = [...text.matchAll(/\n### (part|control|link|directory|record) `(\w+)`/g)].map(
      ([, group, name]) => `${group} ${name}`
    )
    const expected = Object.entries(tables).flatMap(([group, messages]) => Object.keys(messages).map((name) => `${group} ${name}`))
    assert.deepEqual(documented.sort(), expected.sort())
    for (const [group, messages] of Object.entries(tables)) {
      for (const [name, fields] of Object.entries(messages)) {
        const rows = rowsOf(section(`### ${group} \`${name}\``))
        const types = Object.entries(fields).map(([field, { type, optional }]: [string, { type: string; optional: boolean }]) => [
          field,
          optional ? `${type}, optional` : type
        ])
        assert.deepEqual(
          rows.map((row) => row.slice(0, 2)),
          types,
          `${group} ${name}`
        )
        for (const [field, , meaning] of rows) assert.ok((meaning ?? '').length > 3, `${group} ${name} ${field} has no meaning`)
      }
    }
  })

  it('has the forms of the messages that are arrays', () => {
    assert.ok(section('### link `step`').includes(`\`[${stepCode}, ${Object.keys(stepFields).join(', ')}]\``))
    assert.ok(section('### link `ack`').includes(`\`[${ackCode}, ${Object.keys(ackFields).join(', ')}]\``))
    assert.ok(section('### part `StepRun`').includes(wants.map((want, number) => `${number} for ${want}`).join(', ')))
  })

  it('has every error code', () => {
    const codes = rowsOf(section('## Error codes')).map(([cell]) => code(cell))
    assert.deepEqual(codes.sort(), Object.values(WireErrorCode).sort())
  })

  it('has every limit with its value', () => {
    const values = rowsOf(section('## Limits')).map(([name, value]) => [name, Number(value)])
    assert.deepEqual(Object.fromEntries(values), limits)
    const channels = rowsOf(section('### Frames')).filter(([name]) => name! in channelLimits)
    const sizes = channels.map(([name, head, body, buffer]) => [
      name,
      { maxHeadBytes: Number(head), maxBodyBytes: Number(body), sendBufferBytes: Number(buffer) }
    ])
    assert.deepEqual(Object.fromEntries(sizes), channelLimits)
  })

  it('has every protocol id', () => {
    const ids = rowsOf(section('## Transport')).map(([name, id]) => [name, code(id)])
    assert.deepEqual(Object.fromEntries(ids), protocols)
  })

  it('has examples that are right in both directions', () => {
    const rows = rowsOf(section('## Examples'))
    assert.ok(rows.length >= 5)
    for (const [json, hex] of rows) {
      const message = JSON.parse(code(json)) as LinkMessage | ControlRequest
      const bytes = Buffer.from(code(hex), 'hex')
      const isControl = message.type in controlRequestTable
      assert.deepEqual(isControl ? decodeControlRequest(bytes) : decodeLink(bytes), message)
      const encoded = isControl ? encodeControl(message as ControlRequest) : encodeLink(message as LinkMessage)
      assert.equal(Buffer.from(encoded).toString('hex'), bytes.toString('hex'))
    }
  })

  it('has an announcement that verifies', () => {
    const fenced = /```\n([0-9a-f\n]+)```/.exec(section('## Examples'))?.[1] ?? ''
    const bytes = Buffer.from(fenced.replaceAll('\n', ''), 'hex')
    const { announcement } = verifyAnnouncement(ed25519Verifier(), bytes)
    const again = signAnnouncement(ed25519Identity(new Uint8Array(32).fill(1)), announcement)
    assert.equal(Buffer.from(again.encoded).toString('hex'), bytes.toString('hex'))
  })
})
