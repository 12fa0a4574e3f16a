// Positions popover elements next to another element.

const GAP = 6;
const MARGIN = 8;

/**
 * Place the shown *popover* at *anchor*: on *side* if it fits there, else on the other side.
 *
 * @param {"above" | "below"} side
 * @param {"start" | "end" | "center"} align edge of the anchor to align with
 */
export function positionPopover(popover, anchor, { side = "below", align = "start" } = {}) {
  const target = anchor.getBoundingClientRect();
  const { width, height } = popover.getBoundingClientRect();
  const roomAbove = target.top - GAP - MARGIN;
  const roomBelow = window.innerHeight - target.bottom - GAP - MARGIN;
  const isAbove = side === "above" ? roomAbove >= height || roomAbove > roomBelow : roomBelow < height && roomAbove > roomBelow;
  const top = isAbove ? target.top - GAP - height : target.bottom + GAP;
  const isRightToLeft = document.documentElement.dir === "rtl";
  const isAtLeft = (align === "start") !== isRightToLeft;
  const left = align === "center" ? target.left + (target.width - width) / 2 : isAtLeft ? target.left : target.right - width;
  popover.style.top = `${clamp(top, MARGIN, window.innerHeight - height - MARGIN)}px`;
  popover.style.left = `${clamp(left, MARGIN, window.innerWidth - width - MARGIN)}px`;
}

const clamp = (value, min, max) => Math.max(min, Math.min(value, max));
