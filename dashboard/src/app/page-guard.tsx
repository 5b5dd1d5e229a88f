import { Component, type ComponentChildren } from 'preact';
import { Button } from '../ui/index.ts';

/**
 * An error of a page replaces only that page: the frame stays and shows the error. Navigation to
 * another place resets it.
 */
export class PageGuard extends Component<{ children: ComponentChildren }, { broken: string | null }> {
  override state = { broken: null };

  static override getDerivedStateFromError(error: unknown): { broken: string } {
    return { broken: error instanceof Error ? error.message : String(error) };
  }

  override componentDidCatch(error: unknown): void {
    console.error(error);
  }

  override render() {
    const { broken } = this.state;
    if (broken === null) return this.props.children;
    return (
      <div class="not-found">
        <h1 tabIndex={-1}>This page broke</h1>
        <p>
          A mistake in the page itself, not in your data: <code>{broken}</code>
        </p>
        <Button onClick={() => window.location.reload()}>Reload</Button>
      </div>
    );
  }
}
