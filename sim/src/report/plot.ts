import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { Html } from './html.ts'
import { categoryColours, colours } from './palette.ts'

const font = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'

const theme = {
  background: 'transparent',
  font,
  padding: 4,
  view: { stroke: null },
  axis: {
    labelColor: colours.faint,
    titleColor: colours.faint,
    titleFontWeight: 'normal',
    labelFontSize: 11,
    titleFontSize: 11,
    gridColor: colours.grid,
    domainColor: colours.grid,
    tickColor: colours.grid,
    labelLimit: 160
  },
  legend: {
    labelColor: colours.ink,
    titleColor: colours.faint,
    titleFontWeight: 'normal',
    labelFontSize: 11,
    orient: 'top',
    titleOrient: 'left'
  },
  title: { color: colours.ink },
  text: { color: colours.ink },
  line: { strokeWidth: 1.8 },
  range: { category: [...categoryColours] }
} as const

/** What a chart is made of: Vega-Lite, without what the theme and the size give. */
export type ChartSpec = Readonly<Record<string, unknown>>

let drawn = 0

/** Draws a chart as SVG, without a browser. `alt` says what it shows, to those who cannot see it. */
export async function drawChart(spec: ChartSpec, alt: string): Promise<Html> {
  const full = {
    width: 980,
    height: 210,
    autosize: { type: 'fit-x', contains: 'padding' },
    ...spec,
    config: theme
  } as unknown as TopLevelSpec
  const warnings = { level: () => warnings, error: () => warnings, warn: () => warnings, info: () => warnings, debug: () => warnings }
  const { spec: vega } = compile(full, { logger: warnings })
  const view = new View(parse(vega), { renderer: 'none' })
  try {
    const svg = await view.toSVG()
    const title = alt.replaceAll(/[<>&"]/g, ' ')
    // Vega counts its clip paths from the start in each picture, and a page has many pictures.
    const prefix = `c${drawn++}-`
    return new Html(
      svg.replaceAll(/(id="|url\(#)((?:clip|gradient)[\w-]*)/g, `$1${prefix}$2`).replace('<svg ', `<svg role="img" aria-label="${title}" `)
    )
  } finally {
    view.finalize()
  }
}
