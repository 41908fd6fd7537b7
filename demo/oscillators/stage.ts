import { Glide } from "./glide.ts";
import type { History } from "./history.ts";
import { type Palette, palettes } from "./palette.ts";

/** The page's colours, resolved for canvases. */
export interface Theme {
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly surface: string;
  readonly raised: string;
  readonly accent: string;
  readonly warn: string;
  readonly sans: string;
  readonly mono: string;
  readonly phases: Palette;
}

/** A canvas and what draws it. */
export interface Picture {
  readonly canvas: HTMLCanvasElement;
  /** Whether it shows the moving state; otherwise it shows the history only. */
  readonly glides: boolean;
  paint(context: CanvasRenderingContext2D, width: number, height: number, theme: Theme): void;
  /** Describes what it shows, with measured values, for readers who cannot see it. */
  describe(): string;
}

/**
 * Minimum milliseconds between frames: where the reader asked for reduced motion; where the model computes on the
 * processor that also draws (drawing every frame cost a third of the text's speed); between spoken descriptions.
 */
const [STILL, SHARED, WORDS] = [250, 80, 1000];

/**
 * Decides when pictures are drawn: all in one frame, only those that changed, and none while the page is hidden. Pictures
 * out of view are drawn once motion has ended, so that they are there when scrolled to or printed.
 */
export class Stage {
  readonly history: History;
  readonly glide: Glide;
  readonly #pictures = new Map<Element, Picture>();
  readonly #stale = new Set<Element>();
  readonly #inView = new Set<Element>();
  readonly #ends = new AbortController();
  readonly #inViews: IntersectionObserver;
  readonly #sizes: ResizeObserver;
  readonly #attributes: MutationObserver;
  readonly #calm = matchMedia("(prefers-reduced-motion: reduce)");
  readonly #onWords = new Set<() => void>();
  readonly #onDraw = new Set<() => void>();
  readonly #leave: () => void;
  #theme: Theme | undefined;
  #frame = 0;
  #wait: ReturnType<typeof setTimeout> | undefined;
  #words: ReturnType<typeof setTimeout> | undefined;
  #drawn = Number.NEGATIVE_INFINITY;
  readonly #apart: number;

  /** @param software whether the model computes on the CPU */
  constructor(history: History, software: boolean) {
    this.history = history;
    this.#apart = software ? SHARED : 0;
    this.glide = new Glide(history);
    this.#inViews = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.#inView.add(target);
        else this.#inView.delete(target);
      }
      this.#request();
    });
    this.#sizes = new ResizeObserver((entries) => {
      for (const { target } of entries) this.#stale.add(target);
      this.#request();
    });
    const { signal } = this.#ends;
    const recolour = (): void => {
      this.#theme = undefined;
      this.#spoil(this.#pictures.keys());
    };
    this.#attributes = new MutationObserver(recolour);
    this.#attributes.observe(document.documentElement, { attributes: true });
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", recolour, { signal });
    }
    addEventListener("resize", () => this.#spoil(this.#pictures.keys()), { signal }); // zoom changes the pixel ratio
    document.addEventListener("visibilitychange", () => this.#request(), { signal });
    this.#leave = history.subscribe(() => {
      for (const [canvas, { glides }] of this.#pictures) if (!glides) this.#stale.add(canvas);
      this.#request();
      this.#words ??= setTimeout(() => this.#tell(), WORDS);
    });
  }

  /** Shows a picture. Returns a function that removes it. */
  add(picture: Picture): () => void {
    const { canvas } = picture;
    this.#pictures.set(canvas, picture);
    this.#inViews.observe(canvas);
    this.#sizes.observe(canvas);
    canvas.ariaLabel = picture.describe();
    this.redraw(canvas);
    const { signal } = this.#ends;
    canvas.addEventListener("contextrestored", () => this.redraw(canvas), { signal }); // a lost GPU takes it along
    return () => {
      this.#inViews.unobserve(canvas);
      this.#sizes.unobserve(canvas);
      for (const kept of [this.#pictures, this.#stale, this.#inView]) kept.delete(canvas);
    };
  }

  /** Calls `listener` when the history has changed, at most once a second. Returns a function that unsubscribes. */
  slowly(listener: () => void): () => void {
    this.#onWords.add(listener);
    return () => this.#onWords.delete(listener);
  }

  /** Calls `listener` after every drawn frame. Returns a function that unsubscribes. */
  onDraw(listener: () => void): () => void {
    this.#onDraw.add(listener);
    listener();
    return () => this.#onDraw.delete(listener);
  }

  /** Draws a picture again at the next frame. */
  redraw(canvas: Element): void {
    this.#spoil([canvas]);
  }

  close(): void {
    this.#leave();
    this.#ends.abort();
    for (const observer of [this.#inViews, this.#sizes, this.#attributes]) observer.disconnect();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#wait);
    clearTimeout(this.#words);
  }

  #spoil(canvases: Iterable<Element>): void {
    for (const canvas of canvases) this.#stale.add(canvas);
    this.#request();
  }

  /** Which pictures are worth drawing now. */
  get #due(): Iterable<Element> {
    return this.glide.resting ? this.#pictures.keys() : this.#inView;
  }

  get #pending(): boolean {
    if (!this.glide.resting) return true;
    for (const canvas of this.#pictures.keys()) if (this.#stale.has(canvas)) return true;
    return false;
  }

  #request(): void {
    if (this.#frame !== 0 || this.#wait !== undefined || document.hidden || !this.#pending) return;
    const soon = this.#drawn + (this.#calm.matches ? STILL : this.#apart) - performance.now();
    if (soon > 0) {
      this.#wait = setTimeout(() => {
        this.#wait = undefined;
        this.#request();
      }, soon);
    } else this.#frame = requestAnimationFrame((now) => this.#draw(now));
  }

  #draw(now: number): void {
    this.#frame = 0;
    this.#drawn = performance.now();
    if (this.glide.advance(now, this.#calm.matches)) {
      for (const [canvas, { glides }] of this.#pictures) if (glides) this.#stale.add(canvas);
    }
    for (const canvas of this.#due) {
      const picture = this.#pictures.get(canvas);
      if (picture && this.#stale.delete(canvas)) this.#paint(picture);
    }
    for (const listener of this.#onDraw) listener();
    this.#request();
  }

  #paint(picture: Picture): void {
    const { canvas } = picture;
    const { clientWidth, clientHeight } = canvas;
    // Where the GPU is a software adapter, an accelerated canvas runs on it too: painting on the CPU directly costs less.
    const context = canvas.getContext("2d", { willReadFrequently: this.#apart > 0 });
    if (!context || clientWidth === 0 || clientHeight === 0) return;
    const [width, height] = [clientWidth, clientHeight].map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== width) canvas.width = width!;
    if (canvas.height !== height) canvas.height = height!;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    this.#theme ??= themeOf(canvas);
    picture.paint(context, clientWidth, clientHeight, this.#theme);
  }

  #tell(): void {
    this.#words = undefined;
    for (const { canvas, describe } of this.#pictures.values()) canvas.ariaLabel = describe();
    for (const listener of this.#onWords) listener();
  }
}

/** Only an element's computed colour resolves `light-dark()` and `var()`. */
function themeOf(canvas: HTMLElement): Theme {
  const probe = canvas.parentElement!.appendChild(document.createElement("i"));
  const style = getComputedStyle(probe);
  const colour = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return style.color;
  };
  const font = (name: string): string => style.getPropertyValue(`--${name}`);
  const ink = colour("ink");
  const [r, g, b] = (ink.match(/[\d.]+/g) ?? []).map(Number);
  const theme = {
    ink,
    soft: colour("soft"),
    line: colour("line"),
    surface: colour("surface"),
    raised: colour("raised"),
    accent: colour("accent"),
    warn: colour("warn"),
    sans: font("sans"),
    mono: font("mono"),
    phases: (r ?? 0) + (g ?? 0) + (b ?? 0) > 382 ? palettes().dark : palettes().light,
  };
  probe.remove();
  return theme;
}
