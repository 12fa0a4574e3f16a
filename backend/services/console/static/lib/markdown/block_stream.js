// Blocks of a text that is still being written.
//
// A block is finished as soon as another block starts after it on complete lines: nothing that
// follows can change it. Finished blocks are returned once and never parsed again, so that a piece
// of text costs what the last block costs.

import { parseLines, splitLines } from "./blocks.js";

export class BlockStream {
  #lines = [];
  #partial = "";
  #endsWithReturn = false;

  /** Take in the next piece of *text*. */
  append(text) {
    // A line end of two characters may be cut between two pieces.
    let source = this.#endsWithReturn ? `\r${text}` : text;
    this.#endsWithReturn = source.endsWith("\r");
    if (this.#endsWithReturn) source = source.slice(0, -1);
    const parts = `${this.#partial}${source.replace(/\r\n?/g, "\n")}`.split("\n");
    this.#partial = parts.pop();
    if (parts.length) this.#lines.push(...splitLines(parts.join("\n")));
  }

  /** Return `{finished, open}`: blocks that became final, and the blocks that can still change. */
  read() {
    const complete = this.#lines.length;
    const lines = this.#partial ? [...this.#lines, ...splitLines(this.#partial)] : this.#lines;
    const blocks = parseLines(lines);
    let count = blocks.length - 1;
    while (count > 0 && blocks[count].start >= complete) count--;
    if (count <= 0) return { finished: [], open: blocks };
    this.#lines = this.#lines.slice(blocks[count].start);
    return { finished: blocks.slice(0, count), open: blocks.slice(count) };
  }

  /** Return the remaining blocks of the complete text. */
  finish() {
    if (this.#endsWithReturn) this.append("\n");
    const { finished, open } = this.read();
    this.#lines = [];
    this.#partial = "";
    return [...finished, ...open];
  }
}
