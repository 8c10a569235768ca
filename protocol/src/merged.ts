/**
 * The fields of both, those of `over` where they share a name: what `{ ...base, ...over }` gives, for objects of which there
 * are many, such as one for each peer or session. V8 11.3 (Node.js 20) gives each object that a spread makes a hidden class of
 * its own once one field has held values of two kinds, and whoever reads such objects then looks each field up by its name; with
 * `Object.assign` they share one.
 */
export function merged<Base extends object, Over extends object>(base: Base, over: Over): Base & Over {
  return Object.assign({}, base, over)
}
