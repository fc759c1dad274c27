export function compare() {}
export function refreshCompare() {}
