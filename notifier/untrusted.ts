// What Node says of a certificate that it does not trust ends with an advice that is followed already: the system's
// certificates are used. What helps is told in its place.
const ADVICE = /; if the root CA is installed locally, try running Node\.js with --use-system-ca$/;

/** @param setting names a CA to trust beside the usual ones */
export function explainUntrusted(text: string, setting: string): string {
  return text.replace(ADVICE, `; ${setting} names a CA to trust`);
}
