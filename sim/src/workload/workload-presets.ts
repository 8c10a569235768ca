import type { Distribution } from '../scenario/scenario.ts'

/** What people ask for: how long their prompts are and the answers, as somebody has published it. */
export interface WorkloadPreset {
  readonly name: string
  /** Where the figures are from, and what was made of them. */
  readonly source: string
  readonly promptTokens: Distribution
  readonly outputTokens: Distribution
}

/**
 * Each value is the mean of a hundredth of the sorted lengths, rounded: drawn with equal chances they have the trace's mean
 * within half a token, and its quantiles; of the longest hundredth only the mean is left.
 */
function hundredths(values: readonly number[]): Distribution {
  return { kind: 'empirical', values }
}

const azureSource =
  'Azure LLM inference trace 2023 (github.com/Azure/AzurePublicDataset at b469a11, data/AzureLLMInferenceTrace_%.csv, CC BY 4.0; ' +
  'Patel et al., "Splitwise", ISCA 2024, arXiv 2311.18677)'

const azureCode: WorkloadPreset = {
  name: 'azure-code-2023',
  source: `${azureSource.replace('%', 'code')}: all 8,819 requests, in hundredths; their gaps have a coefficient of variation of 13.2`,
  promptTokens: hundredths([
    12, 26, 43, 56, 68, 80, 92, 102, 120, 139, 154, 172, 185, 199, 221, 243, 266, 301, 338, 366, 398, 444, 485, 521, 559, 591, 626, 678,
    721, 757, 789, 833, 863, 895, 921, 953, 984, 1013, 1037, 1059, 1089, 1119, 1152, 1188, 1230, 1277, 1322, 1365, 1394, 1447, 1482, 1527,
    1580, 1622, 1667, 1704, 1746, 1796, 1848, 1890, 1929, 1997, 2050, 2101, 2145, 2189, 2255, 2305, 2358, 2415, 2454, 2513, 2580, 2644,
    2707, 2776, 2849, 2939, 3017, 3132, 3239, 3361, 3527, 3643, 3809, 4025, 4215, 4422, 4662, 4924, 5454, 5811, 6097, 6385, 6911, 7407,
    7434, 7435, 7436, 7436
  ]),
  outputTokens: hundredths([
    6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 11, 11, 11, 11, 11,
    11, 12, 12, 12, 12, 12, 13, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15, 16, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 22, 22, 23,
    24, 25, 26, 27, 28, 30, 31, 33, 35, 38, 40, 43, 46, 50, 53, 57, 62, 68, 76, 84, 97, 116, 145, 203, 468
  ])
}

const azureConversation: WorkloadPreset = {
  name: 'azure-conversation-2023',
  source: `${azureSource.replace('%', 'conv')}: all 19,366 requests, in hundredths; their gaps have a coefficient of variation of 1.09`,
  promptTokens: hundredths([
    17, 61, 124, 173, 181, 182, 195, 200, 203, 206, 209, 216, 233, 280, 354, 373, 376, 379, 382, 386, 388, 391, 393, 394, 396, 397, 398,
    400, 401, 402, 404, 406, 407, 409, 412, 417, 421, 429, 442, 553, 791, 884, 923, 960, 979, 989, 998, 1006, 1012, 1017, 1023, 1028, 1033,
    1038, 1043, 1048, 1053, 1058, 1063, 1068, 1073, 1078, 1083, 1089, 1094, 1100, 1106, 1112, 1119, 1126, 1134, 1143, 1153, 1165, 1180,
    1201, 1231, 1279, 1313, 1314, 1317, 1345, 1437, 1599, 1785, 1963, 2132, 2306, 2488, 2631, 2955, 3766, 4075, 4078, 4081, 4084, 4088,
    4093, 4113, 5027
  ]),
  outputTokens: hundredths([
    13, 18, 28, 35, 40, 43, 46, 48, 50, 53, 55, 58, 60, 63, 66, 68, 70, 72, 74, 76, 78, 80, 82, 83, 84, 86, 87, 88, 89, 90, 91, 92, 93, 94,
    95, 97, 98, 99, 101, 102, 104, 106, 108, 110, 112, 114, 117, 120, 124, 127, 131, 135, 139, 143, 148, 153, 159, 162, 166, 172, 179, 185,
    196, 208, 217, 222, 304, 373, 376, 381, 385, 388, 391, 393, 394, 396, 396, 396, 397, 399, 401, 403, 406, 409, 411, 412, 414, 416, 419,
    422, 426, 429, 430, 438, 446, 460, 489, 524, 572, 710
  ])
}

/** The publication has two means and no quantiles: an exponential has that mean, and its shape is an assumption. */
function byMeans(name: string, promptMean: number, outputMean: number, source: string): WorkloadPreset {
  return {
    name,
    source: `${source}; a fit: the means are published, the exponential shape is an assumption`,
    promptTokens: { kind: 'exponential', mean: promptMean },
    outputTokens: { kind: 'exponential', mean: outputMean }
  }
}

const all: readonly WorkloadPreset[] = [
  azureCode,
  azureConversation,
  byMeans('sharegpt', 161.31, 337.99, 'ShareGPT as in Kwon et al., "PagedAttention", SOSP 2023, arXiv 2309.06180, figure 11'),
  byMeans('lmsys-chat-1m', 69.5, 214.5, 'Zheng et al., "LMSYS-Chat-1M", ICLR 2024, arXiv 2309.11998, table 1')
]

/** By their names, for `workload: { preset: NAME }`. */
export const workloadPresets: Readonly<Record<string, WorkloadPreset>> = Object.fromEntries(all.map((preset) => [preset.name, preset]))
