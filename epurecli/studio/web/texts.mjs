// @ts-check
// Every sentence of the page, in English and French.

/** @type {Record<string, [string, string]>} */
const TEXTS = {
  run: ["Run", "Entraînement"], undo: ["Undo", "Annuler"], redo: ["Redo", "Rétablir"],
  import: ["Import", "Importer"], export: ["Export", "Exporter"], keys: ["Keys", "Touches"],
  brief: ["Brief", "Cahier des charges"], section: ["Section", "Coupe"], variants: ["Variants", "Variantes"], kept: ["Kept", "Gardés"],
  tools: ["Tools", "Outils"], close: ["Close", "Fermer"], copy: ["Copy", "Copier"], copied: ["Copied", "Copié"],
  canvas: ["Half section. Arrow keys move a crosshair, Space paints.", "Demi-coupe. Les flèches déplacent une croix, Espace peint."],
  // brief
  allfree: ["Free all", "Tout libérer"], free: ["free", "libre"], target: ["target", "cible"], range: ["range", "plage"],
  wanted: ["wanted", "voulu"], predicted: ["predicted", "prédit"], measured: ["measured", "mesuré"],
  low: ["lowest", "minimum"], high: ["highest", "maximum"], aim: ["aim", "but"],
  none: ["none", "aucun"], more: ["as large as possible", "le plus grand possible"], less: ["as small as possible", "le plus petit possible"],
  noconditions: ["This run was trained without conditions: nothing can be asked for, but designs can be drawn, completed and kept.",
    "Cet entraînement est sans conditions : rien ne peut être demandé, mais les pneus peuvent être tracés, complétés et gardés."],
  nodata: ["No histograms, no distances: {0}", "Ni histogrammes ni distances : {0}"],
  otherrun: ["not known to this run", "inconnu de cet entraînement"],
  extrapolates: ["beyond the training designs: extrapolates", "au-delà des données d'apprentissage : extrapolation"],
  nopredictor: ["No predictor yet.", "Pas encore de prédicteur."], fit: ["Fit it (about 10 s)", "L'ajuster (environ 10 s)"],
  fitting: ["Fitting…", "Ajustement…"], fitted: ["The predictor is ready.", "Le prédicteur est prêt."],
  search: ["Design for me", "Concevoir pour moi"], searching: ["Searching…", "Recherche…"],
  found: ["{0} designs found for the brief", "{0} pneus trouvés pour le cahier des charges"],
  // tools
  brush: ["Brush", "Pinceau"], eraser: ["Eraser", "Gomme"], fill: ["Fill", "Remplir"], pick: ["Pick", "Pipette"], size: ["size", "taille"],
  over: ["paint over given", "peindre sur le donné"], fitview: ["Fit", "Ajuster"], unit: ["unit", "unité"], perpixel: ["mm per pixel", "mm par pixel"],
  uncertainty: ["Spread", "Dispersion"], u0: ["hidden", "cachée"], u1: ["dots", "points"], u2: ["all outlines", "tous les contours"], u3: ["10/50/90 % lines", "lignes 10/50/90 %"],
  // parts
  air: ["air", "air"], guided: ["guided", "guidé"], given: ["given", "donné"],
  clear: ["clear", "effacer"], asshown: ["take what is shown", "prendre ce qui est montré"], nonehere: ["none (on purpose)", "absent (exprès)"],
  part: ["Part {0}, {1}", "Partie {0}, {1}"], pixels: ["{0} px", "{0} px"], hide: ["hide", "cacher"], show: ["show", "montrer"],
  emptygiven: ["{0} is given but empty.", "{0} est donné mais vide."], freeit: ["Free it", "Le libérer"], confirmnone: ["It has none", "Il n'y en a pas"],
  nothingpainted: ["Nothing of {0} is painted here. To ask for a gap, paint air (0).", "Rien de {0} n'est peint ici. Pour demander un vide, peindre de l'air (0)."],
  protected: ["Given parts are protected: turn on “paint over given”.", "Les parties données sont protégées : activer « peindre sur le donné »."],
  nocomplete: ["This model cannot complete designs: free every part, or choose another run.", "Ce modèle ne sait pas compléter : libérer toutes les parties, ou choisir un autre entraînement."],
  onepart: ["This run has one part only: there is nothing to complete it from. Strokes and variants work.", "Cet entraînement n'a qu'une partie : rien à compléter. Les traits et les variantes fonctionnent."],
  drawsay: ["{0} in {1} of {2} draws", "{0} dans {1} tirages sur {2}"], nearestdraws: ["of the {0} nearest", "des {0} plus proches"],
  strokes: ["strokes kept {0} %", "traits respectés à {0} %"],
  // variants
  newseeds: ["New seeds", "Nouvelles graines"], onlyvalid: ["valid", "valides"], onlyinside: ["as wanted", "comme voulu"],
  keep: ["Keep", "Garder"], morelike: ["More like this", "Semblables"], accept: ["Take as drawing", "Prendre pour dessin"], leave: ["Leave preview", "Quitter l'aperçu"],
  seedof: ["seed {0}", "graine {0}"], drawsof: ["{0} draws, seed {1}", "{0} tirages, graine {1}"], nearestof: ["nearest of 256, seed {0}", "les plus proches de 256, graine {0}"],
  foundof: ["found by the search", "trouvés par la recherche"], unfound: ["back to the variants ×", "retour aux variantes ×"], unlike: ["like one design ×", "semblables ×"],
  allgiven: ["Every part is given: free one to vary it.", "Toutes les parties sont données : en libérer une pour la varier."],
  majority: ["majority of {0} draws", "majorité de {0} tirages"], design: ["design {0}", "pneu {0}"],
  // kept
  nokept: ["Nothing is kept yet: K keeps the design that is shown.", "Rien n'est gardé : K garde le pneu affiché."],
  compare: ["Compare", "Comparer"], drop: ["let go", "lâcher"], dropped: ["{0} was let go", "{0} a été lâché"], bringback: ["Bring it back", "Le reprendre"],
  note: ["note", "note"], choose: ["compare {0}", "comparer {0}"], load: ["open", "ouvrir"],
  choosetwo: ["Choose two to four kept designs to compare.", "Choisir de deux à quatre pneus gardés."],
  keptas: ["kept as {0}", "gardé : {0}"], rename: ["name of {0}", "nom de {0}"],
  // compare
  flicker: ["Hold to flicker A/B", "Maintenir pour alterner A/B"], difference: ["Difference A–B", "Différence A–B"],
  onlyin: ["only in {0}", "seulement dans {0}"], axes: ["All designs, one line each", "Tous les pneus, une ligne chacun"],
  feasible: ["valid only", "valides seulement"], value: ["value", "valeur"], brushaxis: ["limits of {0}", "limites de {0}"],
  // status
  speed: ["{0} designs in {1} ms", "{0} pneus en {1} ms"], drawing: ["drawing…", "tracé…"], step: ["step {0} of {1}", "pas {0} sur {1}"],
  valid: ["valid: one object", "valide : un seul objet"], oneobject: ["one object", "un seul objet"], objects: ["{0} objects", "{0} objets"], stray: ["{0} px stray", "{0} px isolés"], gaps: ["{0} px of gaps", "{0} px de trous"], invalid: ["not valid", "non valide"],
  nearest: ["nearest training design {0} px", "pneu d'apprentissage le plus proche : {0} px"],
  honest: ["draws differ {0} times as much as they miss the truth ({1} held-out designs)", "les tirages diffèrent {0} fois autant qu'ils manquent le vrai ({1} pneus de test)"],
  saved: ["saved", "enregistré"], saving: ["saving…", "enregistrement…"],
  gone: ["The studio does not answer. What is drawn stays here; trying again in {0} s. If it was started again, open the new address that its terminal shows.", "Le studio ne répond pas. Le dessin reste ici ; nouvel essai dans {0} s. S'il a été relancé, ouvrir la nouvelle adresse que son terminal affiche."],
  // files
  formats: ["Formats", "Formats"], exportnow: ["Export {0} kept designs", "Exporter {0} pneus gardés"], exporting: ["Exporting…", "Export…"],
  exportedto: ["Written to {0}", "Écrit dans {0}"], download: ["Download as zip", "Télécharger en zip"], again: ["Commands that make them again", "Commandes qui les refont"],
  leftout: ["Left out: {0}", "Omis : {0}"], nothingtoexport: ["Keep a design first.", "Garder d'abord un pneu."], noagain: ["These designs were guided or drawn by hand: no command makes them again.", "Ces pneus ont été guidés ou dessinés : aucune commande ne les refait."],
  importask: ["PNG images of single parts, {1} x {0} pixels, whose names end in a part's name: mine_{2}.png", "Images PNG d'une partie chacune, {1} x {0} pixels, au nom finissant par celui de la partie : mien_{2}.png"],
  importsize: ["{0} is {1} x {2} pixels; the model draws {3} x {4}.", "{0} fait {1} x {2} pixels ; le modèle trace {3} x {4}."],
  importname: ["{0} names no part: expected …_{1}.png", "{0} ne nomme aucune partie : attendu …_{1}.png"],
  imported: ["{0} parts imported; {1} px were claimed twice and stay with the first part", "{0} parties importées ; {1} px revendiqués deux fois restent à la première"],
  // keys
  letters: ["single-letter keys", "touches à une lettre"],
  k_brush: ["brush", "pinceau"], k_eraser: ["eraser (or hold Alt)", "gomme (ou maintenir Alt)"], k_fill: ["fill a region", "remplir une région"], k_pick: ["pick the part under the cursor (or Ctrl-click)", "prendre la partie sous le curseur (ou Ctrl-clic)"],
  k_swap: ["swap part and air", "échanger partie et air"], k_size: ["smaller, larger brush", "pinceau plus petit, plus grand"], k_part: ["choose air or a part", "choisir l'air ou une partie"],
  k_lock: ["give the part / free it", "donner la partie / la libérer"], k_unc: ["next way to show the spread", "autre vue de la dispersion"], k_hide: ["held: hide what lies over the picture", "maintenu : cacher les surimpressions"],
  k_keep: ["keep", "garder"], k_more: ["more like this", "semblables"], k_seeds: ["new seeds", "nouvelles graines"], k_compare: ["compare", "comparer"],
  k_undo: ["undo, redo", "annuler, rétablir"], k_arrows: ["move the crosshair or in the grid (Shift: 5)", "déplacer la croix, ou dans la grille (Maj : 5)"],
  k_space: ["paint at the crosshair; held with the mouse: pan", "peindre à la croix ; maintenu avec la souris : déplacer"], k_shift: ["straight line from the last point", "ligne droite depuis le dernier point"],
  k_zoom: ["zoom (wheel); show all", "zoom (molette) ; tout montrer"], k_enter: ["take the variant as the drawing", "prendre la variante pour dessin"], k_esc: ["leave the preview", "quitter l'aperçu"], k_help: ["this list", "cette liste"],
};

let language = 0;

/** @param {string} name of a language: "en", "fr", or "" for the browser's */
export function speak(name) {
  language = (name || navigator.language).startsWith("fr") ? 1 : 0;
  document.documentElement.lang = language ? "fr" : "en";
}

export const spoken = () => language ? "fr" : "en";

/** @param {string} key @param {...any} values */
export function t(key, ...values) {
  return (TEXTS[key]?.[language] ?? key).replace(/\{(\d)\}/g, (_, i) => String(values[i]));
}

/** A number with as many figures as a person reads. @param {number | null | undefined} x */
export function figure(x, digits = 3) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  return Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(digits)));
}

/** Fill in what the page's markup names. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t ?? "");
  for (const element of root.querySelectorAll("[data-t-label]")) element.setAttribute("aria-label", t(element.dataset.tLabel ?? ""));
  for (const element of root.querySelectorAll("[data-key]")) element.title = `${element.textContent} (${element.dataset.key})`;
}
