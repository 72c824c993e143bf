// What the page's modules hand to each other.

import type { Dragging, KeyAction } from "../../static/zoom.js";

/** What Gradio hands to the script of a component. */
export interface Component {
  element: HTMLElement;
  /** The component's properties; `text` holds the page's sentences by part and name. */
  props: { value?: unknown; label?: string; text?: Record<string, Record<string, string>> };
  trigger(event: string, data?: object): void;
  /** Call a function after each change of a property. */
  watch(property: string, changed: () => void): void;
}

/**
 * A tool of the contact sheet. What arrives from the server replaces the elements and, with them, what a tool has
 * drawn; so `draw` draws everything again from what the tool remembers.
 */
export interface Tool extends Dragging {
  draw(): void;
  /** A new run is shown: forget the last one. */
  start?(): void;
  /** The visitor changed a field of the tool's panel. */
  choose?(name: string, field: HTMLInputElement | HTMLSelectElement): void;
  /** What keys do while the tool is open. */
  keys?: Record<string, KeyAction>;
}

/** What fills the {names} in a sentence. */
export type Values = Record<string, string | number>;
