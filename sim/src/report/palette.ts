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
export const categoryColours = [
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
