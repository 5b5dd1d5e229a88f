/** The version of this program, as in packages/holdfast/package.json (a test compares the two). */
export const VERSION = '0.1.0';
