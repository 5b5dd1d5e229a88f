import { Component, type ComponentChildren } from 'preact';
import { Button } from '../ui/index.ts';

/** A page that breaks takes only itself down: the frame stays, and says so. Another place in the page begins anew. */
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
      <div class="nothing-here">
        <h1 tabIndex={-1}>This page broke</h1>
        <p>
          A mistake in the page itself, not in your data: <code>{broken}</code>
        </p>
        <Button onClick={() => window.location.reload()}>Reload</Button>
      </div>
    );
  }
}
