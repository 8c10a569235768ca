import type { ScenarioRegion } from './scenario.ts'

const places: Readonly<Record<string, readonly [latitude: number, longitude: number]>> = {
  amsterdam: [52.37, 4.9],
  frankfurt: [50.11, 8.68],
  london: [51.51, -0.13],
  paris: [48.86, 2.35],
  madrid: [40.42, -3.7],
  stockholm: [59.33, 18.07],
  warsaw: [52.23, 21.01],
  moscow: [55.76, 37.62],
  istanbul: [41.01, 28.98],
  'new-york': [40.71, -74.01],
  virginia: [39.04, -77.49],
  washington: [38.91, -77.04],
  chicago: [41.88, -87.63],
  dallas: [32.78, -96.8],
  oregon: [45.84, -119.7],
  'san-francisco': [37.77, -122.42],
  toronto: [43.65, -79.38],
  'sao-paulo': [-23.55, -46.63],
  'buenos-aires': [-34.6, -58.38],
  johannesburg: [-26.2, 28.05],
  lagos: [6.52, 3.38],
  cairo: [30.04, 31.24],
  mumbai: [19.08, 72.88],
  singapore: [1.35, 103.82],
  'hong-kong': [22.32, 114.17],
  tokyo: [35.68, 139.69],
  osaka: [34.69, 135.5],
  seoul: [37.57, 126.98],
  sydney: [-33.87, 151.21]
}

/** Cities and data-centre regions by name, with their coordinates in degrees (two digits are a kilometre). */
export const regionPresets: Readonly<Record<string, ScenarioRegion>> = Object.fromEntries(
  Object.entries(places).map(([name, [latitude, longitude]]) => [name, { name, latitude, longitude }])
)
