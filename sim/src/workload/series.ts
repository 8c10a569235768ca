/**
 * Logarithm, exponential and the normal quantile by additions, multiplications, divisions and square roots alone. IEEE 754
 * fixes those to the bit, which it does not for the functions of `Math`: with them a seed would not give the same run on
 * every machine.
 *
 * @packageDocumentation
 */

const ln2 = 0.6931471805599453

/** The natural logarithm of a positive, finite number, to about 1e-15. */
export function ln(x: number): number {
  if (!(x > 0) || x === Infinity) throw new RangeError(`the logarithm of ${x} is not a finite number`)
  let exponent = 0
  while (x > 1.4142135623730951) {
    x /= 2
    exponent++
  }
  while (x < 0.7071067811865476) {
    x *= 2
    exponent--
  }
  // ln x = 2 artanh((x - 1) / (x + 1)), whose series ends soon since |t| < 0.172.
  const t = (x - 1) / (x + 1)
  const tt = t * t
  let sum = 0
  for (let n = 21; n >= 1; n -= 2) sum = sum * tt + 1 / n
  return 2 * t * sum + exponent * ln2
}

/** e to the power of x, to about 1e-13 of its value; 0 below -700. */
export function exp(x: number): number {
  if (x < -700) return 0
  if (x > 700) throw new RangeError(`e^${x} is too large`)
  const halvings = Math.round(x / ln2)
  const rest = x - halvings * ln2
  let sum = 1
  for (let n = 16; n >= 1; n--) sum = 1 + (sum * rest) / n
  for (let n = 0; n < halvings; n++) sum *= 2
  for (let n = 0; n > halvings; n--) sum /= 2
  return sum
}

/** x to the power of y, for positive x. */
export function pow(x: number, y: number): number {
  return exp(y * ln(x))
}

const a = [-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1, 2.506628277459239]
const b = [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1]
const c = [-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783]
const d = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1]

function horner(coefficients: readonly number[], x: number): number {
  return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0)
}

/** The quantile of the standard normal distribution (Peter Acklam's rational approximation, relative error 1.15e-9); 0 < p < 1. */
export function normalQuantile(p: number): number {
  const tail = 0.02425
  if (p < tail) {
    const q = Math.sqrt(-2 * ln(p))
    return horner(c, q) / horner(d, q)
  }
  if (p > 1 - tail) return -normalQuantile(1 - p)
  const q = p - 0.5
  const r = q * q
  return (horner(a, r) * q) / horner(b, r)
}
