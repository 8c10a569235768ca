import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { childFields, explainField, suggestField } from './explain.ts'
import { scenarioJsonSchema } from './schema.ts'

describe('the schema of scenarios', () => {
  it('is published as scenarios/schema.json', async () => {
    const text = await readFile(new URL('../../scenarios/schema.json', import.meta.url), 'utf8')
    assert.deepEqual(JSON.parse(text), scenarioJsonSchema(), 'run: skein-sim explain --schema > sim/scenarios/schema.json, and prettier')
  })

  it('explains every field that it has', () => {
    const seen: string[] = []
    const visit = (path: string[]): void => {
      for (const name of childFields(path)) {
        const field = [...path, name]
        seen.push(field.join('.'))
        const lines = explainField(field.join('.'))
        assert.ok(lines !== undefined && lines.length >= 1, field.join('.'))
        if (field.length < 5) visit(field)
      }
    }
    visit([])
    for (const field of ['seed', 'network.latency.detour', 'nodes.churn.graceful', 'clients.workload.interArrival', 'faults.target']) {
      assert.ok(seen.includes(field), field)
    }
    assert.match(explainField('nodes[0].churn.up')?.join('\n') ?? '', /exponential/)
    assert.equal(explainField('nodes.nothing'), undefined)
    assert.equal(suggestField('nodes.chrun'), ' (did you mean churn?)')
  })
})
