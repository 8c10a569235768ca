import { networkCompliance } from '@skein/protocol/testing'
import { TestWorld } from './test-world.test-helper.ts'
import { virtualCompliance, virtualPair } from './virtual-compliance.test-helper.ts'

describe('the virtual network', () => {
  describe('as any network', () => {
    networkCompliance(virtualCompliance(() => virtualPair(new TestWorld(), 1e8)))
  })
})
