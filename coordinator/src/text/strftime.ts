const months = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']
const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

const two = (value: number): string => String(value).padStart(2, '0')

/**
 * Writes a time by the codes of C's strftime that chat templates use (`%d %b %Y` and the like), in UTC and English, so that
 * a prompt does not tell where its author lives. Unknown codes stay as they are.
 *
 * @param wallMs - milliseconds since the Unix epoch
 */
export function strftime(format: string, wallMs: number): string {
  const date = new Date(wallMs)
  const month = months[date.getUTCMonth()] ?? ''
  const day = days[date.getUTCDay()] ?? ''
  const codes: Readonly<Record<string, string>> = {
    a: day.slice(0, 3),
    A: day,
    b: month.slice(0, 3),
    B: month,
    d: two(date.getUTCDate()),
    H: two(date.getUTCHours()),
    I: two(date.getUTCHours() % 12 || 12),
    m: two(date.getUTCMonth() + 1),
    M: two(date.getUTCMinutes()),
    p: date.getUTCHours() < 12 ? 'AM' : 'PM',
    S: two(date.getUTCSeconds()),
    y: two(date.getUTCFullYear() % 100),
    Y: String(date.getUTCFullYear()),
    '%': '%'
  }
  return format.replaceAll(/%(.)/g, (whole, code: string) => codes[code] ?? whole)
}
