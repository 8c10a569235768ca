/**
 * Maps the rows of a turn to runs of a group graph and to the lanes of each run. Pure: a snapshot in, a plan out.
 *
 * Attention on CPU takes a batch above 1 only with one new row each, and several new rows only with batch 1. So entries of
 * one row in neighbouring slots share a lane, and every chunk has a lane of its own.
 *
 * Attention goes through a chunk in blocks of an even number of rows, and one row alone takes another path through the
 * matrix product, whose last bits differ. That happens to a single row, and to the last row of a chunk of 33 rows when a
 * block has 32. So in exact mode every lane has an even number of rows, the last one a dummy where need be.
 *
 * @packageDocumentation
 */

/** Rows of one cache in a turn. */
export interface LaneEntry {
  /** New rows, 1 or more. */
  readonly rows: number
  /** Rows in the cache before them. */
  readonly position: number
  readonly exact: boolean
  /** Where the cache lies: neighbouring slots of a segment can share a lane. No two entries share a slot. */
  readonly segment: number
  readonly slot: number
}

export interface PlanLanesOptions {
  /** Lanes of the graph, at least 1. */
  readonly lanes: number
  /** Rows in one run, at least 2: bounds the memory of a run and how long one run keeps others waiting. */
  readonly maxRunRows: number
  /** Slots in one lane's window. */
  readonly maxWindowSlots: number
  /** Rows held by idle slots in a window, which attention reads in vain, beyond which lanes are not merged. */
  readonly maxIdleRows: number
}

export const planLanesDefaults: Omit<PlanLanesOptions, 'lanes'> = {
  // Products reach nearly all of their speed at 128 rows; scratch memory goes with the rows (90 MB at 512 rows and ffn 8192).
  maxRunRows: 256,
  maxWindowSlots: 8,
  // Reading as many rows costs about as much as reading one block's weights once more, which another run would.
  maxIdleRows: 8192
}

/** A lane of a run. */
export interface Lane {
  /** The window's segment; undefined for an unused lane, which works on a window of one slot that belongs to nobody. */
  readonly segment: number | undefined
  readonly firstSlot: number
  /** `B`, at least 1; above 1 only if `rowsPerSlot` is 1. */
  readonly slots: number
  /** `S`, at least 1. */
  readonly rowsPerSlot: number
  /** `[B*S]`: rows of the run; the number of the run's rows names the row of zeros. */
  readonly rows: readonly number[]
  /** `[B]`: rows in the cache afterwards, less one. */
  readonly seqlens: readonly number[]
  /** The largest of `seqlens`, plus one. */
  readonly total: number
}

/** Consecutive rows of an entry; in the run they come one piece after another. */
export interface Piece {
  /** Index of the entry. */
  readonly entry: number
  /** Row of the entry. */
  readonly from: number
  readonly rows: number
}

/** One run of a group graph. */
export interface LaneRun {
  readonly pieces: readonly Piece[]
  /** `R`. */
  readonly rows: number
  /** `[R]` */
  readonly positions: readonly number[]
  /** As many as the graph has. */
  readonly lanes: readonly Lane[]
  /** `[R]`: for each row, its index in the lanes' results laid end to end. */
  readonly order: readonly number[]
}

/** What takes one lane. */
interface Unit {
  readonly pieces: readonly Piece[]
  readonly rows: number
  readonly segment: number
  readonly firstSlot: number
  readonly slots: number
  /** Whether a dummy row is added. */
  readonly padded: boolean
}

/**
 * Plans a turn. Rows of one entry keep their order: a later piece is in a later run.
 *
 * A window's idle slots get one row of zeros written at the row count that their cache has after the turn: behind
 * its last row, at most in its spare one.
 *
 * @param heldRows - rows that a slot's cache holds if it has no entry in the turn; 0 for a free slot
 */
export function planLanes(
  entries: readonly LaneEntry[],
  heldRows: (segment: number, slot: number) => number,
  options: PlanLanesOptions
): LaneRun[] {
  const afterTurn = new Map(entries.map((entry) => [`${entry.segment}.${entry.slot}`, entry.position + entry.rows]))
  const rowsAfter = (segment: number, slot: number): number => afterTurn.get(`${segment}.${slot}`) ?? heldRows(segment, slot)
  const single = entries.flatMap((entry, index) => (entry.rows === 1 && !entry.exact ? [index] : []))
  const others = entries.flatMap((entry, index) => (entry.rows === 1 && !entry.exact ? [] : split(entry, index, options.maxRunRows)))
  const windows = mergeWindows(entries, single, others.length, rowsAfter, options)
  return fillRuns([...windows, ...others], options).map((units) => layOut(units, entries, rowsAfter, options.lanes))
}

/** Cuts an entry into pieces of at most `maxRows` rows, none of one row if that can be. */
function split(entry: LaneEntry, index: number, maxRows: number): Unit[] {
  const units: Unit[] = []
  for (let from = 0; from < entry.rows;) {
    const left = entry.rows - from
    const rows = left <= maxRows ? left : left - maxRows === 1 && maxRows > 2 ? maxRows - 1 : maxRows
    const piece = { entry: index, from, rows }
    const padded = rows % 2 === 1 && (entry.exact || rows === 1)
    units.push({ pieces: [piece], rows, segment: entry.segment, firstSlot: entry.slot, slots: 1, padded })
    from += rows
  }
  return units
}

/** Groups single rows into windows: first only neighbours, then over idle slots, as long as that saves runs. */
function mergeWindows(
  entries: readonly LaneEntry[],
  single: readonly number[],
  otherLanes: number,
  rowsAfter: (segment: number, slot: number) => number,
  options: PlanLanesOptions
): Unit[] {
  const maxSlots = Math.min(options.maxWindowSlots, options.maxRunRows)
  const at = (index: number): LaneEntry => entries[index] as LaneEntry
  const sorted = [...single].sort((a, b) => at(a).segment - at(b).segment || at(a).slot - at(b).slot)
  let windows: number[][] = []
  for (const index of sorted) {
    const last = windows.at(-1)
    const previous = last?.at(-1)
    const adjacent = previous !== undefined && at(previous).segment === at(index).segment && at(previous).slot + 1 === at(index).slot
    if (last !== undefined && adjacent && last.length < maxSlots) last.push(index)
    else windows.push([index])
  }
  const stages = [windows]
  for (;;) {
    const merged = mergeCheapest(windows, at, rowsAfter, maxSlots, options.maxIdleRows)
    if (merged === undefined) break
    windows = merged
    stages.push(windows)
  }
  // Of all stages of merging with the fewest runs, the first: it has the fewest idle slots.
  const runsOf = (count: number): number => Math.ceil((count + otherLanes) / options.lanes)
  const fewest = runsOf(windows.length)
  const chosen = stages.find((stage) => runsOf(stage.length) === fewest) ?? windows
  return chosen.map((window) => {
    const first = at(window[0] as number)
    const lastSlot = at(window.at(-1) as number).slot
    return {
      pieces: window.map((entry) => ({ entry, from: 0, rows: 1 })),
      rows: window.length,
      segment: first.segment,
      firstSlot: first.slot,
      slots: lastSlot - first.slot + 1,
      padded: false
    }
  })
}

function mergeCheapest(
  windows: readonly number[][],
  at: (index: number) => LaneEntry,
  rowsAfter: (segment: number, slot: number) => number,
  maxSlots: number,
  maxIdleRows: number
): number[][] | undefined {
  let best: { index: number; idleRows: number } | undefined
  for (let index = 0; index + 1 < windows.length; index++) {
    const pair = [...(windows[index] as number[]), ...(windows[index + 1] as number[])].map(at)
    const first = pair[0] as LaneEntry
    const last = pair.at(-1) as LaneEntry
    if (first.segment !== last.segment || last.slot - first.slot >= maxSlots) continue
    const active = new Set(pair.map((entry) => entry.slot))
    let idleRows = 0
    for (let slot = first.slot; slot <= last.slot; slot++) {
      if (!active.has(slot)) idleRows += rowsAfter(first.segment, slot)
    }
    if (idleRows <= maxIdleRows && (best === undefined || idleRows < best.idleRows)) best = { index, idleRows }
  }
  if (best === undefined) return undefined
  const { index } = best
  return [...windows.slice(0, index), [...(windows[index] as number[]), ...(windows[index + 1] as number[])], ...windows.slice(index + 2)]
}

/** First fit, in order; a piece of an entry goes into a later run than the piece before it. */
function fillRuns(units: readonly Unit[], options: PlanLanesOptions): Unit[][] {
  const runs: { units: Unit[]; rows: number }[] = []
  const earliest = new Map<number, number>()
  for (const unit of units) {
    let index = Math.max(...unit.pieces.map((piece) => earliest.get(piece.entry) ?? 0))
    const fits = (run: { units: Unit[]; rows: number }): boolean =>
      run.units.length < options.lanes && run.rows + unit.rows <= options.maxRunRows
    while (index < runs.length && !fits(runs[index] as { units: Unit[]; rows: number })) index++
    const run = runs[index] ?? { units: [], rows: 0 }
    runs[index] = run
    run.units.push(unit)
    run.rows += unit.rows
    for (const piece of unit.pieces) earliest.set(piece.entry, index + 1)
  }
  return runs.map((run) => run.units)
}

function layOut(
  units: readonly Unit[],
  entries: readonly LaneEntry[],
  rowsAfter: (segment: number, slot: number) => number,
  laneCount: number
): LaneRun {
  const pieces = units.flatMap((unit) => unit.pieces)
  const rowCount = units.reduce((sum, unit) => sum + unit.rows, 0)
  const positions = pieces.flatMap((piece) => {
    const start = (entries[piece.entry] as LaneEntry).position + piece.from
    return Array.from({ length: piece.rows }, (_, i) => start + i)
  })
  const lanes: Lane[] = []
  const order: number[] = []
  let laneStart = 0
  for (const unit of units) {
    const lane =
      unit.slots === 1 ? chunkLane(unit, entries, order.length, rowCount) : windowLane(unit, entries, order.length, rowCount, rowsAfter)
    lane.rows.forEach((row, i) => {
      if (row !== rowCount) order.push(laneStart + i)
    })
    laneStart += lane.rows.length
    lanes.push(lane)
  }
  while (lanes.length < laneCount) {
    lanes.push({ segment: undefined, firstSlot: 0, slots: 1, rowsPerSlot: 1, rows: [rowCount], seqlens: [0], total: 1 })
  }
  return { pieces, rows: rowCount, positions, lanes, order }
}

/** One slot, with all rows of the unit and perhaps the dummy one. */
function chunkLane(unit: Unit, entries: readonly LaneEntry[], firstRow: number, zeroRow: number): Lane {
  const piece = unit.pieces[0] as Piece
  const rows = Array.from({ length: unit.rows }, (_, i) => firstRow + i)
  if (unit.padded) rows.push(zeroRow)
  const total = (entries[piece.entry] as LaneEntry).position + piece.from + rows.length
  return { segment: unit.segment, firstSlot: unit.firstSlot, slots: 1, rowsPerSlot: rows.length, rows, seqlens: [total - 1], total }
}

/** Several slots, one row each; slots without an entry are idle. */
function windowLane(
  unit: Unit,
  entries: readonly LaneEntry[],
  firstRow: number,
  zeroRow: number,
  rowsAfter: (segment: number, slot: number) => number
): Lane {
  const rows = new Array<number>(unit.slots).fill(zeroRow)
  const seqlens = rows.map((_, i) => rowsAfter(unit.segment, unit.firstSlot + i))
  unit.pieces.forEach((piece, i) => {
    const entry = entries[piece.entry] as LaneEntry
    rows[entry.slot - unit.firstSlot] = firstRow + i
    seqlens[entry.slot - unit.firstSlot] = entry.position
  })
  return {
    segment: unit.segment,
    firstSlot: unit.firstSlot,
    slots: unit.slots,
    rowsPerSlot: 1,
    rows,
    seqlens,
    total: Math.max(...seqlens) + 1
  }
}
