// Signals, effects and scopes.
//
// Reading `signal.value` inside an effect subscribes the effect. Writing a different value runs the
// effect again in a microtask, once for any number of writes. Effects created inside an effect or a
// scope end with it.
//
//   const count = signal(0);
//   const doubled = computed(() => count.value * 2);
//   const stop = effect(() => console.log(doubled.value));
//   onDispose(() => socket.close());          // runs when the surrounding effect or scope ends
//   const isLeft = watchLifetime();           // isLeft() is true after it has ended
//   const scope = createScope();              // lifetime that is ended by scope.dispose()

/** @typedef {() => void} Dispose */

const MAX_ROUNDS = 100;

let activeEffect = null;
let activeScope = null;
let isScheduled = false;
const pending = new Set();

/** @template T */
export class Signal {
  #value;
  #subscribers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  /** Current value. Reading it in an effect subscribes the effect. */
  get value() {
    if (activeEffect) {
      this.#subscribers.add(activeEffect);
      activeEffect.sources.add(this);
    }
    return this.#value;
  }

  set value(next) {
    if (Object.is(next, this.#value)) return;
    this.#value = next;
    for (const subscriber of this.#subscribers) schedule(subscriber);
  }

  /** Return the value without subscribing. */
  peek() {
    return this.#value;
  }

  /** Replace the value by `change(value)`. */
  update(change) {
    this.value = change(this.#value);
  }

  unsubscribe(subscriber) {
    this.#subscribers.delete(subscriber);
  }
}

class Scope {
  #callbacks = new Set();
  isDisposed = false;

  /** Run *create*; the effects that it creates end with this scope. */
  run(create) {
    const outer = activeScope;
    activeScope = this;
    try {
      return create();
    } finally {
      activeScope = outer;
    }
  }

  onDispose(callback) {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  dispose() {
    this.isDisposed = true;
    const callbacks = [...this.#callbacks].reverse();
    this.#callbacks.clear();
    for (const callback of callbacks) callback();
  }
}

class Effect {
  sources = new Set();
  #scope = null;
  #run;

  constructor(run) {
    this.#run = run;
    activeScope?.onDispose(() => this.dispose());
    this.execute();
  }

  execute() {
    this.#release();
    const outerEffect = activeEffect;
    this.#scope = new Scope();
    activeEffect = this;
    try {
      this.#scope.run(this.#run);
    } finally {
      activeEffect = outerEffect;
    }
  }

  dispose() {
    pending.delete(this);
    this.#release();
  }

  #release() {
    for (const source of this.sources) source.unsubscribe(this);
    this.sources.clear();
    this.#scope?.dispose();
  }
}

function schedule(subscriber) {
  pending.add(subscriber);
  if (isScheduled) return;
  isScheduled = true;
  queueMicrotask(flush);
}

/** Run the effects that are due. The browser does so before the next frame. */
export function flush() {
  isScheduled = false;
  for (let round = 0; pending.size; round++) {
    if (round === MAX_ROUNDS) {
      pending.clear();
      throw new Error("Effects trigger each other in a cycle.");
    }
    for (const subscriber of [...pending]) {
      if (pending.delete(subscriber)) subscriber.execute();
    }
  }
}

/** @template T @param {T} value @returns {Signal<T>} */
export const signal = (value) => new Signal(value);

/** Return a signal with the result of *compute*, updated when a signal it reads changes. */
export function computed(compute) {
  const result = new Signal(undefined);
  effect(() => {
    result.value = compute();
  });
  return result;
}

/** Run *run* now and whenever a signal that it reads changes. @returns {Dispose} */
export function effect(run) {
  const created = new Effect(run);
  return () => created.dispose();
}

/** Call *callback* when the surrounding effect or scope ends. */
export function onDispose(callback) {
  activeScope?.onDispose(callback);
}

/** Return a function that returns true once the surrounding effect or scope has ended. */
export function watchLifetime() {
  let isLeft = false;
  onDispose(() => {
    isLeft = true;
  });
  return () => isLeft;
}

/** Create a lifetime that ends with the surrounding one or with `dispose()`. */
export function createScope() {
  const scope = new Scope();
  const remove = activeScope?.onDispose(() => scope.dispose());
  if (remove) scope.onDispose(remove);
  return scope;
}

/** Run *read* without subscribing the current effect. */
export function untracked(read) {
  const outer = activeEffect;
  activeEffect = null;
  try {
    return read();
  } finally {
    activeEffect = outer;
  }
}
