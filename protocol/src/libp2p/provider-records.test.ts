import assert from 'node:assert/strict'
import { ProviderRecords } from './provider-records.ts'

describe('records of providers', () => {
  const key = (content: number, peer: string): string => `/dht/provider/content${content}/${peer}`

  it('give way, the oldest first: of a provider with more than its share its own ones', () => {
    const records = new ProviderRecords<string>(4, 2)
    assert.deepEqual([...records.add(key(1, 'a')), ...records.add(key(1, 'b')), ...records.add(key(2, 'b'))], [])
    assert.deepEqual(records.add(key(3, 'b')), [key(1, 'b')])
    assert.deepEqual(records.add(key(3, 'b')), [], 'it was there')
    assert.deepEqual(records.add(key(1, 'c')), [])
    assert.deepEqual(records.add(key(1, 'd')), [key(1, 'a')])
  })

  it('count no more once they are deleted, and other keys do not count at all', () => {
    const records = new ProviderRecords<string>(2, 2)
    for (let content = 0; content < 100; content++) {
      assert.deepEqual(records.add(key(content, `peer ${content}`)), [])
      records.delete(key(content, `peer ${content}`))
      assert.deepEqual(records.add(`/dht/record/${content}`), [])
    }
  })
})
