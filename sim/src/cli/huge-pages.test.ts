import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { gapsOf, joinable, type Mapping, parseMappings } from './huge-pages.ts'

const smaps = `00400000-00b1c000 r--p 00000000 fe:00 12345                              /usr/bin/node
Size:               7280 kB
Rss:                4096 kB
7f1200000000-7f1200c00000 rw-p 00000000 00:00 0
Size:              12288 kB
Rss:               12288 kB
Pss:               12288 kB
AnonHugePages:      4096 kB
VmFlags: rd wr mr mw me ac sd
7f1300000000-7f1300800000 rw-p 00000000 00:00 0                          [stack]
Rss:                  16 kB
`
const MiB = 2 ** 20

describe('huge pages', () => {
  it('are told from what the kernel says of the memory', () => {
    const [program, heap, stack] = parseMappings(smaps)
    assert.deepEqual(program, { start: 0x400000, end: 0xb1c000, isHeap: false, residentBytes: 4 * MiB, hugeBytes: 0 })
    const start = 0x7f1200000000
    assert.deepEqual(heap, { start, end: start + 12 * MiB, isHeap: true, residentBytes: 12 * MiB, hugeBytes: 4 * MiB })
    assert.equal(stack?.isHeap, false)
    assert.deepEqual(joinable(parseMappings(smaps)), [{ start, bytes: 12 * MiB }])
  })

  it('are made of whole ones of memory that is in use', () => {
    const mapping = (startMiB: number, sizeMiB: number, residentMiB: number, hugeMiB = 0): Mapping => ({
      start: startMiB * MiB,
      end: (startMiB + sizeMiB) * MiB,
      isHeap: true,
      residentBytes: residentMiB * MiB,
      hugeBytes: hugeMiB * MiB
    })
    assert.deepEqual(joinable([mapping(101, 10, 10)]), [{ start: 102 * MiB, bytes: 8 * MiB }])
    assert.deepEqual(joinable([mapping(200, 8, 1), mapping(300, 1.5, 1.5), mapping(400, 8, 8, 7)]), [])
  })

  it('need gaps reserved that touch no mapping, and leave no room for a piece of the heap', () => {
    const mappings = fc.array(fc.tuple(fc.nat(2 ** 47 - 2 ** 33), fc.integer({ min: 4096, max: 2 ** 40 })), { maxLength: 20 })
    const property = fc.property(mappings, (drawn) => {
      const used = drawn.map(([start, bytes]) => ({ start, end: start + bytes }))
      const gaps = gapsOf(used)
      for (const gap of gaps) {
        assert.ok(gap.start >= 2 ** 34 && gap.end <= 2 ** 46 && gap.start < gap.end)
        for (const { start, end } of used) assert.ok(end <= gap.start || gap.end <= start)
      }
      assert.deepEqual(gapsOf([...used, ...gaps]), [])
    })
    fc.assert(property)
  })

  it('hold the heap that grows after the addresses are reserved', function () {
    const setting = '/sys/kernel/mm/transparent_hugepage/enabled'
    if (process.platform !== 'linux' || !existsSync(setting) || readFileSync(setting, 'utf8').includes('[never]')) this.skip()
    const source = `
      import { readFileSync } from 'node:fs'
      import { parseMappings, prepareHugePages } from '${new URL('./huge-pages.js', import.meta.url).href}'
      const below = () => parseMappings(readFileSync('/proc/self/smaps', 'utf8'))
        .filter(({ isHeap, start }) => isHeap && start > 2 ** 34 && start < 2 ** 46)
        .reduce((sum, { start, end }) => sum + end - start, 0)
      const pages = await prepareHugePages()
      const before = below()
      const kept = Array.from({ length: 1e6 }, (_, index) => ({ index, next: { index } }))
      pages.onEvents(1e5)
      console.log(JSON.stringify({ grown: below() - before, kept: kept.length }))`
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' })
    const { grown, kept } = JSON.parse(printed) as { grown: number; kept: number }
    assert.equal(kept, 1e6)
    assert.ok(grown < 8 * MiB, `${grown} bytes of the heap lie scattered`)
  })
})
