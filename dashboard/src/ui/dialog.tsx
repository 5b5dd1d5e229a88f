import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { Button } from './button.tsx';

export interface DialogProps {
  title: string;
  open: boolean;
  onClose(): void;
  children: ComponentChildren;
  /** Its buttons. */
  footer?: ComponentChildren;
}

/**
 * A native modal dialog: the browser keeps the focus inside and makes the rest inert. The focus
 * returns to its previous element.
 */
export function Dialog({ open, ...props }: DialogProps) {
  return open ? <OpenDialog {...props} /> : null;
}

function OpenDialog({ title, onClose, children, footer }: Omit<DialogProps, 'open'>) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const close = useRef(onClose);
  close.current = onClose;
  // Before its content can take the focus: the previous element gets it back.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    // A press that begins on the backdrop; one that only ends there has selected text.
    const onPress = (event: Event) => {
      if (event.target === element) close.current();
    };
    element?.addEventListener('pointerdown', onPress);
    return () => {
      element?.removeEventListener('pointerdown', onPress);
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        // Esc: the owner decides whether it closes.
        event.preventDefault();
        close.current();
      }}
    >
      <div class="dialog-box">
        <header class="dialog-head">
          <h2 id={id}>{title}</h2>
          <Button kind="ghost" icon="close" aria-label="Close" onClick={onClose} />
        </header>
        <div class="dialog-body">{children}</div>
        {footer ? <footer class="dialog-foot">{footer}</footer> : null}
      </div>
    </dialog>
  );
}
