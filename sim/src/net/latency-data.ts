import type { Place } from './great-circle.ts'

/** Measured round trips between named places. */
export interface LatencyDataSet {
  readonly name: string
  readonly source: string
  readonly places: readonly (Place & { readonly name: string })[]
  /** Milliseconds, rows to columns in the order of `places`; on the diagonal: between two sites of one place. */
  readonly roundTripMs: readonly (readonly number[])[]
}

/**
 * Average round trips between ten data-centre regions, 27 July to 25 August 2024, as IBM publishes them every week; on the
 * diagonal the mean of the region's inter-zone averages of 3 February to 3 March 2024 from the same document. The table is
 * not symmetric, since the two directions were measured apart. It is a backbone's: homes add their access links to it.
 */
const ibmCloud2024: LatencyDataSet = {
  name: 'ibm-cloud-2024',
  source:
    'IBM Cloud Docs, Virtual Private Cloud, "Network latency dashboards", table of 27 Jul 2024-25 Aug 2024 ' +
    '(github.com/ibm-cloud-docs/vpc, _include-segments/network-latency.md)',
  places: [
    { name: 'dallas', latitude: 32.78, longitude: -96.8 },
    { name: 'toronto', latitude: 43.65, longitude: -79.38 },
    { name: 'washington', latitude: 38.91, longitude: -77.04 },
    { name: 'frankfurt', latitude: 50.11, longitude: 8.68 },
    { name: 'london', latitude: 51.51, longitude: -0.13 },
    { name: 'madrid', latitude: 40.42, longitude: -3.7 },
    { name: 'osaka', latitude: 34.69, longitude: 135.5 },
    { name: 'sydney', latitude: -33.87, longitude: 151.21 },
    { name: 'tokyo', latitude: 35.68, longitude: 139.69 },
    { name: 'sao-paulo', latitude: -23.55, longitude: -46.63 }
  ],
  roundTripMs: [
    [1.96, 34, 31, 123, 113, 119, 150, 186, 143, 146],
    [34, 1.83, 19, 93, 82, 108, 168, 215, 162, 129],
    [31, 19, 0.85, 91, 75, 87, 172, 214, 164, 118],
    [123, 93, 91, 0.83, 13, 29, 232, 250, 233, 198],
    [113, 83, 75, 13, 2.08, 27, 244, 261, 243, 188],
    [122, 106, 88, 29, 27, 0.7, 257, 275, 258, 209],
    [150, 169, 172, 231, 243, 257, 1.68, 122, 9, 293],
    [186, 214, 214, 249, 261, 275, 122, 1.75, 115, 328],
    [143, 162, 166, 233, 244, 256, 9, 115, 1.75, 284],
    [144, 128, 119, 196, 187, 208, 291, 328, 283, 2.31]
  ]
}

/** The shipped data sets by their names. */
export const latencyDataSets: Readonly<Record<string, LatencyDataSet>> = { [ibmCloud2024.name]: ibmCloud2024 }
