/**
 * The `k` largest of some tokens by logit, by falling logit and, where logits are equal, by rising id.
 *
 * A heap of the best `k` so far, the worst of them on top: one pass over the candidates, `O(n log k)` at worst whatever the
 * logits are, and close to `n` comparisons on usual ones.
 *
 * @param logits - f32 by token id, without NaN
 * @param candidates - token ids, each once
 */
export function selectLargest(logits: Float32Array, candidates: Uint32Array, k: number): Uint32Array {
  const size = Math.min(k, candidates.length)
  if (size <= 0) return new Uint32Array(0)
  const heap = candidates.slice(0, size)
  for (let root = (size >> 1) - 1; root >= 0; root--) siftDown(logits, heap, root, size)
  for (let index = size; index < candidates.length; index++) {
    const id = candidates[index] as number
    if (!isWorse(logits, heap[0] as number, id)) continue
    heap[0] = id
    siftDown(logits, heap, 0, size)
  }
  // Heap sort: the worst goes to the end, again and again.
  for (let end = size - 1; end > 0; end--) {
    const worst = heap[0] as number
    heap[0] = heap[end] as number
    heap[end] = worst
    siftDown(logits, heap, 0, end)
  }
  return heap
}

/** Whether token `a` ranks behind token `b`. */
function isWorse(logits: Float32Array, a: number, b: number): boolean {
  const difference = (logits[a] as number) - (logits[b] as number)
  // Two equal infinities have no difference.
  return difference < 0 || (!(difference > 0) && a > b)
}

function siftDown(logits: Float32Array, heap: Uint32Array, root: number, size: number): void {
  const id = heap[root] as number
  let hole = root
  for (let child = 2 * hole + 1; child < size; child = 2 * hole + 1) {
    if (child + 1 < size && isWorse(logits, heap[child + 1] as number, heap[child] as number)) child++
    const below = heap[child] as number
    if (!isWorse(logits, below, id)) break
    heap[hole] = below
    hole = child
  }
  heap[hole] = id
}
