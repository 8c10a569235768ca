import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { Html } from './html.ts'

/**
 * Colours as names of CSS properties, so that a chart follows the page into the dark: {@link paletteCss} defines them. The
 * hues are those of Okabe and Ito, which people with any kind of colour blindness tell apart
 * (https://jfly.uni-koeln.de/color/).
 */
export const colours = {
  ink: 'var(--ink)',
  faint: 'var(--faint)',
  grid: 'var(--grid)',
  blue: 'var(--blue)',
  orange: 'var(--orange)',
  green: 'var(--green)',
  red: 'var(--red)',
  purple: 'var(--purple)',
  sky: 'var(--sky)',
  yellow: 'var(--yellow)'
} as const

/** For categories, in the order in which they are told apart best. */
const categoryColours = [
  colours.blue,
  colours.orange,
  colours.green,
  colours.purple,
  colours.sky,
  colours.red,
  colours.yellow,
  colours.faint
] as const

const light = '--ink:#1c2430;--faint:#6b7686;--grid:#e4e8ee;--paper:#ffffff;--panel:#f6f8fa;'
const dark = '--ink:#e8edf4;--faint:#97a3b4;--grid:#2b3542;--paper:#12171e;--panel:#1a212b;'
const lightHues = '--blue:#0072b2;--orange:#d98c00;--green:#009e73;--red:#d55e00;--purple:#b65f93;--sky:#56b4e9;--yellow:#c9b800;'
const darkHues = '--blue:#4aa8e0;--orange:#f0b03c;--green:#2fc49a;--red:#f2803a;--purple:#dd93bd;--sky:#8bcdf3;--yellow:#f0e442;'

/** Defines the colours, for light and dark. */
export const paletteCss = `:root{color-scheme:light dark;${light}${lightHues}}
@media (prefers-color-scheme:dark){:root{${dark}${darkHues}}}
@media print{:root{${light}${lightHues}}}`

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
