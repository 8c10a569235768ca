import assert from 'node:assert/strict'
import { isSkeinError } from '@skein/protocol'
import { familyOf } from './families/registry.ts'
import { ropeFrequencies, ropeRows } from './rope.ts'

const ramp = (count: number, value: (index: number) => number) => Array.from({ length: count }, (_, index) => value(index))

const base = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  head_dim: 64,
  vocab_size: 8,
  max_position_embeddings: 131072,
  rope_theta: 500000
}

interface Reference {
  readonly rope: Record<string, unknown> | undefined
  /** At dimensions 0, 7, 15, 23 and 31. */
  readonly frequencies: readonly number[]
  readonly attentionFactor: number
  /** At position 100003, where an angle computed in another precision shows. */
  readonly cos?: readonly number[]
  /** At position 777. */
  readonly sin: readonly number[]
}

const plain: Omit<Reference, 'rope'> = {
  frequencies: [1.0, 0.05666961893439293, 0.002131119603291154, 8.014294871827587e-5, 3.01385807688348e-6],
  attentionFactor: 1,
  cos: [0.9843148589134216, 0.9549481868743896, 0.8727673292160034, -0.1598644256591797, 0.9549233317375183],
  sin: [-0.8555511832237244, 0.049977246671915054, 0.9963825345039368, 0.06223083287477493, 0.0023417656775563955]
}

/** Printed by transformers 5.24's LlamaRotaryEmbedding for these configurations. */
const references: Record<string, Reference> = {
  none: { rope: undefined, ...plain },
  dynamic: { rope: { rope_type: 'dynamic', factor: 2 }, ...plain },
  linear: {
    rope: { type: 'linear', factor: 4 },
    frequencies: [0.25, 0.014167404733598232, 0.0005327799008227885, 2.003573717956897e-5, 7.5346451922087e-7],
    attentionFactor: 1,
    cos: [0.9990172386169434, -0.9971641898155212, -0.9918843507766724, -0.41944822669029236, 0.9971626400947571],
    sin: [-0.504449725151062, -0.9999218583106995, 0.4022471308708191, 0.01556713879108429, 0.0005854418850503862]
  },
  llama3: {
    rope: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
    frequencies: [1.0, 0.05666961893439293, 0.0013718936825171113, 1.0017868589784484e-5, 3.76732259610435e-7],
    attentionFactor: 1,
    cos: [0.9843148589134216, 0.9549481868743896, 0.5091535449028015, 0.5387725830078125, 0.999290406703949],
    sin: [-0.8555511832237244, 0.049977246671915054, 0.8752543330192566, 0.0077838050201535225, 0.00029272097162902355]
  },
  yarn: {
    rope: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32768 },
    frequencies: [1.0, 0.05666961893439293, 0.0015983396442607045, 2.003573717956897e-5, 7.5346451922087e-7],
    attentionFactor: 1.138629436111989,
    cos: [1.1207698583602905, 1.0873321294784546, -1.0563606023788452, -0.47759610414505005, 1.1353987455368042],
    sin: [-0.9741557836532593, 0.05690556392073631, 1.0776019096374512, 0.017725203186273575, 0.000666601350530982]
  },
  'yarn with mscale, not truncated': {
    rope: {
      rope_type: 'yarn',
      factor: 40,
      original_max_position_embeddings: 4096,
      mscale: 1,
      mscale_all_dim: 0.8,
      beta_fast: 16,
      beta_slow: 2,
      truncate: false
    },
    frequencies: [1.0, 0.05666961893439293, 5.327799226506613e-5, 2.003573854381102e-6, 7.534644907991606e-8],
    attentionFactor: 1.0569662567531275,
    cos: [1.0403876304626465, 1.0093480348587036, 0.6103177666664124, 1.0358209609985352, 1.056936264038086],
    sin: [-0.9042887687683105, 0.052824266254901886, 0.04374273866415024, 0.0016454601427540183, 6.187924009282142e-5]
  },
  longrope: {
    rope: {
      rope_type: 'longrope',
      short_factor: ramp(32, (index) => 1 + 0.1 * index),
      long_factor: ramp(32, (index) => 2 + index),
      original_max_position_embeddings: 4096
    },
    frequencies: [1.0, 0.033335067331790924, 0.0008524478762410581, 2.4285742256324738e-5, 7.350873829636839e-7],
    attentionFactor: 1.1902380714238083,
    sin: [-1.0183095932006836, 0.8273754715919495, 0.7319645881652832, 0.02245848812162876, 0.0006798197864554822]
  }
}

const dimensions = [0, 7, 15, 23, 31]

const near = (found: number, expected: number, relative: number, what: string) =>
  assert.ok(Math.abs(found - expected) <= relative * Math.max(Math.abs(expected), 1e-9), `${what}: ${found} instead of ${expected}`)

describe('rotary embedding', () => {
  for (const [name, reference] of Object.entries(references)) {
    it(`turns as transformers does: ${name}`, () => {
      const config = familyOf('llama').readConfig({ ...base, rope_scaling: reference.rope })
      const frequencies = ropeFrequencies(config)
      near(frequencies.attentionFactor, reference.attentionFactor, 1e-12, 'attention factor')
      const cos = ropeRows(frequencies, 'cos', 100003, 100004)
      const sin = ropeRows(frequencies, 'sin', 770, 778).subarray(7 * 32)
      for (const [index, dimension] of dimensions.entries()) {
        near(frequencies.inverseFrequencies[dimension] as number, reference.frequencies[index] as number, 3e-7, `frequency ${dimension}`)
        // One unit in the last place of a frequency turns position 777 by 1e-5 at most, and 100003 by 1e-3 (measured: 4e-4).
        assert.ok(Math.abs((sin[dimension] as number) - (reference.sin[index] as number)) < 1e-5, `sin ${dimension}`)
        const far = reference.cos?.[index]
        if (far !== undefined) assert.ok(Math.abs((cos[dimension] as number) - far) < 1e-3, `cos ${dimension}`)
      }
    })
  }

  it('reads the newer form of the configuration, with everything in rope_parameters', () => {
    const { rope_theta: theta, ...rest } = base
    const rope = { ...references['llama3']?.rope, rope_theta: theta }
    const config = familyOf('llama').readConfig({ ...rest, rope_parameters: rope })
    assert.deepEqual(config, familyOf('llama').readConfig({ ...base, rope_scaling: references['llama3']?.rope }))
  })

  it('ends the context where dynamic and longrope would turn cached keys anew', () => {
    const context = (rope: unknown) => familyOf('llama').readConfig({ ...base, rope_scaling: rope }).contextTokens
    assert.equal(context(references['dynamic']?.rope), 131072)
    assert.equal(context(references['longrope']?.rope), 4096)
    assert.equal(context(references['yarn']?.rope), 131072)
  })

  it('refuses what it does not know, by name', () => {
    for (const [rope, word] of [
      [{ rope_type: 'spiral' }, 'spiral'],
      [{ rope_type: 'llama3', factor: 8 }, 'low_freq_factor'],
      [{ rope_type: 'linear' }, 'factor'],
      [{ rope_type: 'longrope', short_factor: [1], long_factor: [1] }, '32'],
      [{ rope_type: 'linear', factor: -1 }, 'rope_scaling.factor'],
      [{ rope_type: 'default', partial_rotary_factor: 0.5 }, 'partial_rotary_factor']
    ] as const) {
      assert.throws(
        () => familyOf('llama').readConfig({ ...base, rope_scaling: rope }),
        (error) => isSkeinError(error) && error.code === 'ERR_SKEIN_CHECKPOINT_BAD_CONFIG' && error.message.includes(word)
      )
    }
  })
})
