import { render } from 'preact';
import { App } from './app/app.tsx';
import { installTrustedTypes } from './app/trusted-types.ts';
import './styles/tokens.css';
import './styles/base.css';
import './styles/ui.css';
import './styles/app.css';
import './styles/list.css';

installTrustedTypes();
const root = document.getElementById('app');
if (root) render(<App />, root);
