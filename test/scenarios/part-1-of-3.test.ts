import { tryScenarios } from './scenarios.ts';

tryScenarios(1, 3);
