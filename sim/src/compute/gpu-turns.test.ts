import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ScenarioModel } from '../scenario/scenario.ts'
import { turnCost } from './cost-model.ts'
import { devicePresets } from './device-presets.ts'
import { modelPresets } from './model-presets.ts'

/** A turn as `test/oracle/measure_gpu.py` timed it; `graphUs` without the launching of kernels, `eagerUs` with it. */
interface MeasuredTurn {
  readonly model: string
  readonly weights: 'bf16' | 'int4'
  readonly blocks: number
  readonly sessions: number
  readonly rows: number
  readonly pastRows: number
  readonly graphUs: number
  readonly eagerUs: number
}

const file = new URL('../../../test/oracle/gpu-h100-80gb.json', import.meta.url)
const { turns } = JSON.parse(readFileSync(file, 'utf8')) as { readonly turns: readonly MeasuredTurn[] }
const device = devicePresets['h100-80gb']!

/** The preset with the weights that were measured. */
function modelOf({ model, weights }: MeasuredTurn): ScenarioModel {
  const preset = modelPresets[model]!
  return { ...preset, weightBytesPerBlock: (preset.flopsPerTokenPerBlock / 2) * (weights === 'bf16' ? 2 : 4.25 / 8) }
}

/** How much longer or shorter the model says that a turn takes. */
function errorOf(turn: MeasuredTurn): number {
  const { sessions, rows, pastRows, blocks } = turn
  const entries = Array.from({ length: sessions }, () => ({ rows, pastRows, blocks }))
  return turnCost(modelOf(turn), device, entries).totalUs / turn.graphUs - 1
}

function worst(chosen: readonly MeasuredTurn[]): number {
  assert.ok(chosen.length > 5)
  return Math.max(...chosen.map((turn) => Math.abs(errorOf(turn))))
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

describe('the cost model against turns of a real GPU', () => {
  const wide = turns.filter(({ weights }) => weights === 'bf16')
  // The device's four numbers were fitted to the least sum of relative errors of these two models' turns.
  const fitted = new Set(['llama-3.2-1b', 'llama-3-70b'])
  const predicted = wide.filter(({ model }) => !fitted.has(model))

  it('predicts decode steps of other models within 11 %, alone and in batches of up to 64 sessions', () => {
    assert.ok(worst(predicted.filter(({ rows }) => rows === 1)) < 0.11)
  })

  it('predicts half of all their turns within 6 %, prefills too', () => {
    assert.ok(median(predicted.map((turn) => Math.abs(errorOf(turn)))) < 0.06)
  })

  it('says up to 36 % too little of prefills behind a long past, whose attention is masked and so not the fastest kernel', () => {
    const prefills = wide.filter(({ rows }) => rows > 1)
    assert.ok(worst(prefills) < 0.36)
    const least = prefills.reduce((a, b) => (errorOf(a) < errorOf(b) ? a : b))
    assert.equal(least.pastRows, 2048)
  })

  it('knows nothing of kernels that are slow with many rows: 4-bit weights of PyTorch cost more with each session', () => {
    const narrow = turns.filter(({ model, weights, rows }) => model === 'llama-3-70b' && weights === 'int4' && rows === 1)
    const us = (sessions: number): number => narrow.find((turn) => turn.sessions === sessions && turn.pastRows <= 512)!.graphUs
    assert.ok(us(64) / us(1) > 10)
    assert.ok(errorOf(narrow.find(({ sessions }) => sessions === 64)!) < -0.8)
  })
})
