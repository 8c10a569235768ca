import { printable, table } from '@skein/coordinator'
import { didYouMean, InvalidArgumentError } from '@skein/protocol'
import { devicePresets } from '../compute/device-presets.ts'
import { modelPresets } from '../compute/model-presets.ts'
import { latencyDataSets } from '../net/latency-data.ts'
import { type FigureMeaning, figureMeanings, type FigureName, figureNames } from '../report/figures.ts'
import { explainField, suggestField } from '../scenario/explain.ts'
import { regionPresets } from '../scenario/region-presets.ts'
import { scenarioJsonSchema } from '../scenario/schema.ts'
import { formatDuration } from '../scenario/units.ts'
import { loadScenario, shippedScenarios } from './scenario-files.ts'
import { meanOf } from '../workload/draw.ts'
import { workloadPresets } from '../workload/workload-presets.ts'
import type { SimContext } from './sim-io.ts'

/** `skein-sim list`: the shipped scenarios and studies, and the question of each. */
export function listScenarios({ json }: { readonly json: boolean }, context: SimContext): void {
  const scenarios = shippedScenarios().map((name) => {
    const { question, durationMs, nodes, clients } = loadScenario(name)
    const total = (groups: ReadonlyArray<{ readonly count: number }>): number => groups.reduce((sum, { count }) => sum + count, 0)
    return { name, question, virtualMs: durationMs, nodes: total(nodes), clients: total(clients) }
  })
  const studies = Object.entries(context.components.engine.studies).map(([name, { question }]) => ({ name, question }))
  const rows = [
    ...scenarios.map(({ name, question, virtualMs, nodes }) => [name, String(nodes), formatDuration(virtualMs), printable(question)]),
    ...studies.map(({ name, question }) => [name, '', '', question])
  ]
  context.print(json, { scenarios, studies }, table(['scenario', 'nodes', 'time', 'question'], rows, new Set([1, 2])))
}

/** `skein-sim explain`: what a field, a figure or a list of presets means. @throws InvalidArgumentError for a name that is nothing */
export function explain(field: string, { json, schema }: { readonly json: boolean; readonly schema: boolean }, context: SimContext): void {
  if (schema) {
    context.print(false, {}, [JSON.stringify(scenarioJsonSchema(), undefined, 2)])
    return
  }
  const lines = topic(field) ?? explainFigure(field.replace(/^(figures|expect)\./, '')) ?? explainField(field)
  if (lines === undefined) {
    const known = [...figureNames, ...topicNames]
    throw new InvalidArgumentError(
      `there is no field '${field}'${suggestField(field) || didYouMean(field, known) || '; skein-sim explain shows the fields'}`
    )
  }
  context.print(json, { field, lines }, field === '' ? [...lines, '', `Also: skein-sim explain ${topicNames.join(' | ')}`] : lines)
}

const topicNames = ['figures', 'devices', 'models', 'regions', 'datasets', 'workloads'] as const

function topic(name: string): string[] | undefined {
  switch (name) {
    case 'figures':
      return table(
        ['figure', 'unit', 'meaning'],
        figureNames.map((figure) => [figure, figureMeanings[figure].unit, figureMeanings[figure].text]),
        new Set()
      )
    case 'devices':
      return table(
        ['device', 'GB/s', 'TFLOPS', 'us a block', 'us a turn', 'efficiency'],
        Object.values(devicePresets).map((device) => [
          device.name,
          String(device.memoryBandwidthBytesPerSecond / 1e9),
          String(device.flopsPerSecond / 1e12),
          String(device.overheadUsPerBlock),
          String(device.overheadUsPerTurn),
          String(device.efficiency)
        ]),
        new Set([1, 2, 3, 4, 5])
      )
    case 'models':
      return table(
        ['model', 'blocks', 'hidden', 'MB a block', 'KV bytes a token and block', 'bytes a row'],
        Object.values(modelPresets).map((model) => [
          model.name,
          String(model.blocks),
          String(model.hiddenSize),
          (model.weightBytesPerBlock / 1e6).toFixed(1),
          String(model.kvBytesPerTokenPerBlock),
          String(model.rowBytes)
        ]),
        new Set([1, 2, 3, 4, 5])
      )
    case 'regions':
      return table(
        ['region', 'latitude', 'longitude'],
        Object.values(regionPresets).map(({ name: region, latitude, longitude }) => [region, latitude.toFixed(2), longitude.toFixed(2)]),
        new Set([1, 2])
      )
    case 'datasets':
      return Object.values(latencyDataSets).flatMap(({ name: dataSet, source, places }) => [
        `${dataSet}: ${source}`,
        `  regions: ${places.map((place) => place.name).join(', ')}`
      ])
    case 'workloads':
      return [
        ...table(
          ['workload', 'prompt', 'answer'],
          Object.values(workloadPresets).map((preset) => [
            preset.name,
            meanOf(preset.promptTokens).toFixed(1),
            meanOf(preset.outputTokens).toFixed(1)
          ]),
          new Set([1, 2])
        ),
        '',
        'Means in tokens; workload: { kind: open, preset: NAME, ... } draws from the distributions. Sources:',
        ...Object.values(workloadPresets).map(({ name: workload, source }) => `  ${workload}: ${source}`)
      ]
    default:
      return undefined
  }
}

function explainFigure(name: string): string[] | undefined {
  if (!Object.hasOwn(figureMeanings, name)) return undefined
  const { unit, text, better }: FigureMeaning = figureMeanings[name as FigureName]
  return [`${name}: ${text}`, `  unit: ${unit}`, ...(better === undefined ? [] : [`  better: ${better}`])]
}
