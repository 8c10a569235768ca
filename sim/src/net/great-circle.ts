/**
 * Distances on the earth by additions, multiplications, divisions and square roots alone, which IEEE 754 fixes to the bit:
 * the functions of `Math` may differ between machines, and with them the order of events.
 *
 * @packageDocumentation
 */

const halfPi = 1.5707963267948966
/** Mean radius (IUGG). */
const earthRadiusKm = 6371.0088

/** The sine of an angle of at most a quarter turn, in radians, to 1e-16: Taylor's series. */
function sinQuarter(x: number): number {
  const xx = x * x
  let sum = 0
  for (let n = 23; n >= 1; n -= 2) sum = 1 - (sum * xx) / ((n + 1) * (n + 2))
  return x * sum
}

/** @param degrees -360 to 360 */
export function sinDegrees(degrees: number): number {
  let angle = degrees % 360
  if (angle > 180) angle -= 360
  if (angle < -180) angle += 360
  if (angle > 90) angle = 180 - angle
  if (angle < -90) angle = -180 - angle
  return sinQuarter((angle / 90) * halfPi)
}

export function cosDegrees(degrees: number): number {
  return sinDegrees(degrees + 90)
}

/** The angle in radians whose sine is `x`, 0 <= x <= 1, to 1e-15. */
export function arcSine(x: number): number {
  if (x > 0.5) return halfPi - 2 * arcSine(Math.sqrt((1 - Math.min(x, 1)) / 2))
  let term = x
  let sum = x
  for (let n = 1; n < 60; n++) {
    term *= (x * x * (2 * n - 1)) / (2 * n)
    sum += term / (2 * n + 1)
  }
  return sum
}

export interface Place {
  readonly latitude: number
  readonly longitude: number
}

/** Along the surface of a sphere, in kilometres; within 0.6 % of the ellipsoid's. */
export function greatCircleKm(a: Place, b: Place): number {
  const at = ({ latitude, longitude }: Place): [number, number, number] => {
    const ring = cosDegrees(latitude)
    return [ring * cosDegrees(longitude), ring * sinDegrees(longitude), sinDegrees(latitude)]
  }
  const [p, q] = [at(a), at(b)]
  const [dx, dy, dz] = [p[0] - q[0], p[1] - q[1], p[2] - q[2]]
  const chord = Math.sqrt(dx * dx + dy * dy + dz * dz)
  return 2 * earthRadiusKm * arcSine(chord / 2)
}
